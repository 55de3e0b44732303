"""The warning that a run prints after its label check.

Separate from `label_check`, so that rewording it does not rerun the pseudo labels.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from psa_core.evaluation.label_check import joined
from psa_core.runtime.artifacts import read_table

MANY = 10  # up to one suspicious image in 10 is normal; more give a warning


def read_checks(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Tables of `check`, as `write_table` wrote them, in one; sorted by image id."""
    tables = [read_table(path) for path in paths]
    return joined(tables).sort_values("image", kind="stable", ignore_index=True)


def suspicious(table: pd.DataFrame) -> pd.Series:
    """Whether the label of each image is empty or flooded; bool, by image id.

    table: rows of `check` of several images.
    """
    images = table.drop_duplicates("image").set_index("image")
    return images["empty"] | images["flooded"]


def worst_first(table: pd.DataFrame) -> pd.DataFrame:
    """One row per image, its id as index, the most suspicious first.

    table: rows of `check` of several images. Returns the columns empty and flooded (bool), missing
    (number of image-level labels without a pixel) and margin. Empty and flooded labels come first,
    then those that lack classes, each by rising margin.
    """
    images = table.groupby("image").agg(
        empty=("empty", "any"),
        flooded=("flooded", "any"),
        missing=("missing", "sum"),
        margin=("margin", "first"),
    )
    images["failed"] = images["empty"] | images["flooded"]
    order = {"failed": False, "missing": False, "margin": True, "image": True}
    images = images.sort_values(list(order), ascending=list(order.values()))
    return images.drop(columns="failed")


def warning(table: pd.DataFrame) -> str:
    """One line with a remedy, if more than one of MANY images is suspicious; otherwise "".

    Also warns, naming the class, if more than half of the images of a class are suspicious or lack
    it; if that is true of all classes, the first warning says enough.

    table: rows of `check` of several images.
    """
    images = table.drop_duplicates("image")
    empty, flooded = images["empty"].sum(), images["flooded"].sum()
    failed = table[["empty", "flooded", "missing"]].any(axis=1).groupby(table["class"]).mean()
    classes = list(failed.index[failed > 0.5])
    parts = []
    if MANY * (empty + flooded) > len(images):
        parts += [
            f"{empty + flooded} of {len(images)} pseudo labels are empty ({empty}) or cover the "
            f"whole image ({flooded}): {_remedy(empty, flooded)}"
        ]
    if classes and (len(classes) < len(failed) or not parts):
        parts += [
            f"most pseudo labels of images with {', '.join(classes)} are empty, cover the whole "
            "image or lack the class: check the image-level labels, and add images of the class"
        ]
    return "; ".join(parts)


def _remedy(empty: int, flooded: int) -> str:
    """The remedy for the kind that is at least twice as frequent as the other."""
    if empty >= 2 * flooded:
        return "set walk.alpha to a number and raise it, which weakens the background"
    if flooded >= 2 * empty:
        return "set walk.alpha to a number and lower it, which strengthens the background"
    return (
        "no walk.alpha helps against both; train the CAM network longer (cam.training.epochs and "
        "least_steps), and add images"
    )
