"""Figures of maps, labels and scores."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from psa_core.evaluation.overlay import class_colours
from psa_core.method.maps import resize
from psa_core.runtime.artifacts import replacing

matplotlib.use("Agg")
matplotlib.rcParams["text.parse_math"] = False  # a class may be named $5$
LONGEST_NAME = 24  # characters of an image's id that are shown, its last ones
# Of Okabe and Ito's palette, which colour-blind people can tell apart.
LOSS_COLOURS = {
    "iou": "#BBBBBB",
    "border": "#F0E442",
    "missed": "#0072B2",
    "flooded": "#D55E00",
    "confused": "#CC79A7",
}


def heat(image: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Lay a heat map of the strongest class activation map over an image.

    image: uint8 [H, W, 3]. maps: float [K, h, w] in [0, 1]. Returns uint8 [H, W, 3]. Where no class
    is active the image is as it was, and where one is fully active a quarter of it is left.
    """
    strongest = resize(maps.max(0, keepdims=True, initial=0), image.shape[:2])[0].clip(0, 1)
    warm = plt.get_cmap("inferno")(strongest)[..., :3] * 255
    share = 0.75 * strongest[..., None]
    return ((1 - share) * image + share * warm).astype(np.uint8)


def grid(
    rows: Mapping[str, Sequence[np.ndarray]], titles: Sequence[str], names: Sequence[str]
) -> Figure:
    """Grid of pictures with a legend of the classes.

    rows: by image id, which is written beside them: pictures uint8 [H, W, 3], one per stage.
    titles: of the columns. names: of the classes, without background.
    """
    columns = max(map(len, rows.values()), default=1)
    figure, axes = plt.subplots(
        max(1, len(rows)), columns, figsize=(2.2 * columns, 2.0 * len(rows) + 0.9), squeeze=False
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for line, (image, row) in zip(axes, rows.items(), strict=False):
        for axis, picture in zip(line, row, strict=False):
            axis.imshow(picture)
        name = image if len(image) <= LONGEST_NAME else f"…{image[1 - LONGEST_NAME :]}"
        beside = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 8}
        line[0].text(-0.03, 0.5, name, transform=line[0].transAxes, **beside)
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize=10)
    pairs = class_colours(len(names)) / 255
    patches = [
        Patch(facecolor=first, edgecolor=second, hatch="///", label=name)
        for name, (first, second) in zip(names, pairs, strict=True)
    ]
    figure.legend(handles=patches, loc="lower center", ncols=min(7, len(patches)), frameon=False)
    rect = (0, 0.9 / figure.get_figheight() / 2, 1, 1)
    figure.set_layout_engine("tight", rect=rect, pad=0.3)
    return figure


def bars(metrics: pd.DataFrame) -> Figure:
    """Bar chart of the IoU of each class, and of their mean, at each stage.

    metrics: rows of `metrics.scores` of several stages.
    """
    table = metrics.assign(stage=metrics["stage"] + " (" + metrics["split"] + ")")
    table = table.pivot_table(index="class", columns="stage", values="iou", sort=False)
    axis = table.plot.bar(
        figsize=(1.2 * len(table) + 3, 3.6), width=0.8, colormap="viridis", rot=30
    )
    axis.set(xlabel="", ylabel="IoU (%)", ylim=(0, 100))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, ncols=len(table.columns), loc="upper center")
    axis.figure.set_layout_engine("tight")
    return axis.figure


def losses(metrics: pd.DataFrame) -> Figure:
    """Stacked bars of the IoU of each class and of what it loses, one panel per stage.

    metrics: rows of `metrics.scores` of several stages.
    """
    stages = list(metrics.groupby(["stage", "split"], sort=False))
    classes = metrics["class"].nunique()
    figure, axes = plt.subplots(
        1,
        max(1, len(stages)),
        figsize=(2.6 * len(stages) + 1.5, 0.28 * classes + 1.3),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, ((stage, split), rows) in zip(axes[0], stages, strict=False):
        left = np.zeros(len(rows))
        for part, colour in LOSS_COLOURS.items():
            width = rows[part].fillna(0).to_numpy()
            axis.barh(rows["class"], width, left=left, color=colour, label=part)
            left += width
        axis.set(title=f"{stage} ({split})", xlim=(0, 100), xlabel="% of the union")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].invert_yaxis()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def trainings(tables: dict[str, pd.DataFrame]) -> Figure:
    """Curves of the losses of each epoch, one panel per network.

    tables: for each network the columns epoch, loss and other terms, one row per epoch.
    """
    figure, axes = plt.subplots(
        1, len(tables), figsize=(3.2 * len(tables), 3.2), squeeze=False, layout="constrained"
    )
    for axis, (name, table) in zip(axes[0], tables.items(), strict=True):
        for term in table.columns.drop("epoch"):
            axis.plot(table["epoch"], table[term], marker="o", label=term)
        axis.set(title=name, xlabel="epoch", ylim=(0, None))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.spines[["top", "right"]].set_visible(False)
        # Below the axes, as curves may be anywhere in them.
        axis.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    axes[0, 0].set_ylabel("mean loss")
    return figure


def walk_sweep(table: pd.DataFrame) -> Figure:
    """Heat maps of the mIoU over beta and t, one panel per alpha, with the best framed.

    table: result of `sweeps.walk_table`.
    """
    panels = [
        (alpha, rows.pivot(index="beta", columns="t", values="miou"))
        for alpha, rows in table.groupby("alpha", sort=False)
    ]
    rows, columns = panels[0][1].shape
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=((0.5 * columns + 0.3) * len(panels) + 1.4, 0.5 * rows + 1.2),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    low, high = table["miou"].min(), table["miou"].max()
    for axis, (alpha, miou) in zip(axes[0], panels, strict=True):
        picture = axis.imshow(miou, vmin=low, vmax=high, origin="lower", cmap="viridis")
        axis.set(title=f"alpha {alpha}", xlabel="t")
        axis.set_xticks(range(columns), miou.columns)
        axis.set_yticks(range(rows), [f"{beta:g}" for beta in miou.index])
        for (y, x), value in np.ndenumerate(miou):
            colour = "black" if value > (low + high) / 2 else "white"
            axis.text(x, y, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=8)
            if value == high:
                axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor="red"))
    axes[0, 0].set_ylabel("beta")
    figure.colorbar(picture, ax=axes, label="mIoU (%)", shrink=0.8)
    return figure


def counts(table: pd.DataFrame) -> Figure:
    """Numbers in a grid that is darker where they are a greater share of their row.

    table: int, at least 0; its index and columns have names.
    """
    figure, axis = plt.subplots(
        figsize=(0.55 * table.shape[1] + 2, 0.35 * table.shape[0] + 1), layout="constrained"
    )
    shares = table.div(table.sum(axis=1), axis=0)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set_xticks(range(table.shape[1]), [f"{value:g}" for value in table.columns])
    axis.set_yticks(range(table.shape[0]), table.index)
    axis.set_xlabel(table.columns.name)
    for (y, x), number in np.ndenumerate(table.to_numpy()):
        colour = "white" if shares.iloc[y, x] > 0.5 else "black"
        axis.text(x, y, str(number), ha="center", va="center", color=colour)
    return figure


def families_for(text: str) -> list[str]:
    """Families of fonts that together have all letters of a text, as far as there are any.

    The first is matplotlib's own, which has no Chinese letters, for example.
    """
    families, missing = ["DejaVu Sans"], {ord(letter) for letter in text if letter.isprintable()}
    missing -= letters_of(findfont(families[0]))
    # "Last Resort" has a box with a number in place of each letter that there is.
    fonts = (font for font in fontManager.ttflist if not font.name.startswith("Last Resort"))
    for font in fonts if missing else ():
        if found := missing & letters_of(font.fname):
            families.append(font.name)
            missing -= found
    return families


@functools.cache
def letters_of(file: str) -> frozenset[int]:
    """Code points of the letters that a file of a font has; none if it is gone."""
    try:
        return frozenset(get_font(file).get_charmap())
    except (OSError, RuntimeError):  # matplotlib's list of fonts is of an earlier day
        return frozenset()


def save(path: str | Path, figure: Figure) -> None:
    """Write a figure as PNG and close it, in fonts that have the letters of its texts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters are missing until the fonts below are set
        figure.draw_without_rendering()  # before that, names of classes on an axis are empty
    for text in figure.findobj(Text):
        text.set_fontfamily(families_for(text.get_text()))
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)
