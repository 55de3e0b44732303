"""The sweep over the walk's settings in a true run, compared with a closed form."""

import itertools
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from seeds import ROOT
from workflow_runs import SWEEP, snakemake

from psa_core.datasets.index import ImageRow, read_images
from psa_core.method.pairs import neighbour_offsets
from psa_core.runtime.artifacts import read_label_map, write_array, write_edges

TRAIN_TABLE = "results/dataset/images/train_aug_0.csv"


def true_mask(image: str) -> np.ndarray:
    return read_label_map(ROOT / f"examples/scenes/masks/{image}.png")


# Images made of isolated pairs of cells: the affinity within a pair, and the class map in its left
# and in its right cell. For all settings of the sweep in tests/tiny.yaml, a class's score differs
# from the background's by more than 0.02, so rounding decides no label; and no two combinations of
# the settings label all images alike.
PAIRS = [
    (0.3, 0.5, 0.1),
    (0.3, 0.7, 0.1),
    (0.45, 0.7, 0.3),
    (0.5, 0.5, 0.2),
    (0.45, 0.4, 0.1),
    (0.35, 0.5, 0.2),
]


def write_pairs(folder: Path, images: list[ImageRow]) -> None:
    """Put pairs in place of class maps and affinities, one cell per pixel: no map is resized."""
    edges = {}
    for number, row in enumerate(images):
        affinity, *values = PAIRS[number % len(PAIRS)]
        cells = np.resize(values, (row.height, row.width + row.width % 2))[:, : row.width]
        maps = np.stack(
            [cells / 2**k for k in range(len(row.classes))]
        )  # the first class is the greatest
        write_array(folder / f"results/cam/maps/{row.image}.npy", maps)
        offsets = neighbour_offsets(5)
        edges[row.image] = np.zeros((len(offsets), row.height, row.width), np.float16)
        edges[row.image][offsets.index((0, 1)), :, 0 : row.width - 1 : 2] = affinity
    for path in (folder / "results/affinity/edges").glob("train_aug_*.h5"):
        with h5py.File(path) as file:
            listed = list(file)
        write_edges(path, ((image, edges[image]) for image in listed))


def labelled_pairs(number: int, row: ImageRow, alpha: float, beta: float, t: int) -> np.ndarray:
    """Where an image of pairs shows its first class rather than the background, bool [H, W].

    The transition matrix of a pair is [[1, p], [p, 1]] / (1 + p), p = affinity^beta. A step keeps
    the mean of the two scores and multiplies their difference by (1 - p) / (1 + p).
    """
    affinity, *values = PAIRS[number % len(PAIRS)]
    p = float(np.float16(affinity)) ** beta
    maps = np.array(values)
    kept = ((1 - p) / (1 + p)) ** t
    lead = maps - (1 - maps) ** alpha
    walked = lead.mean() + (lead - lead.mean()) * kept
    assert np.abs(walked).min() > 0.02
    found = np.resize(walked > 0, (row.height, row.width + row.width % 2))[:, : row.width]
    if row.width % 2:
        found[:, -1] = lead[0] > 0  # it has no other cell
    return found


def test_sweep_has_the_scores_of_the_walk_itself(copy):
    """Of each combination by a closed form, and of one by the walk's own rules."""
    images = read_images(copy / TRAIN_TABLE)
    write_pairs(copy, images)
    walk = "walk={alpha: 2, beta: 4, t: 64, scale_t: false}"
    snakemake(copy, "--config", walk, "--", SWEEP, "results/metrics/walk.csv")
    table = pd.read_csv(copy / SWEEP).set_index(["alpha", "beta", "t"])
    assert list(table) == ["miou", "precision", "recall", "images"]
    assert set(table["images"]) == {len(images)} == {12}
    expected = {}
    for settings in itertools.product([2, 4], [4, 8], [64, 256]):
        true, predicted = [], []
        for number, row in enumerate(images):
            true.append(true_mask(row.image))
            predicted.append(row.classes[0] * labelled_pairs(number, row, *settings))
        expected[settings] = miou(true, predicted)
    assert table["miou"].to_dict() == pytest.approx(expected, abs=1e-3)
    assert len({round(value, 2) for value in expected.values()}) == 8
    rows = pd.read_csv(copy / "results/metrics/walk.csv").set_index("class")
    mean = rows.loc["mean", ["iou", "precision", "recall", "images"]]
    assert table.loc[(2, 4, 64)].tolist() == mean.tolist()
    assert (copy / SWEEP).with_suffix(".png").exists()


def miou(true: list[np.ndarray], predicted: list[np.ndarray]) -> float:
    """Mean intersection over union of all images, in per cent, by its definition."""
    masks, labels = (np.concatenate([each.ravel() for each in maps]) for maps in (true, predicted))
    labels = labels[masks != 255]
    masks = masks[masks != 255]
    unions = [((masks == k) | (labels == k)).sum() for k in range(7)]
    both = [((masks == k) & (labels == k)).sum() for k in range(7)]
    return 100 * np.mean([hits / union for hits, union in zip(both, unions, strict=True) if union])
