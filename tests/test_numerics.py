"""Class maps, affinities and scores are stored with 11 bits; labels made of them score the same."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from psa_core.evaluation.metrics import class_scores, confusion_matrix
from psa_core.method.background import walk_with_background
from psa_core.method.maps import arg_max, resize
from psa_core.method.pairs import neighbour_offsets, pair_slices
from psa_core.runtime.artifacts import read_array, read_edges, write_array, write_edges

CELLS, SIZE = (24, 32), (192, 256)


def example(rng):
    """A true mask of two classes, class maps that find it roughly, and affinities along it."""
    height = gaussian_filter(rng.normal(size=SIZE), 20)
    mask = np.digitize(height, np.quantile(height, [0.6, 0.8])).astype(np.uint8)
    noise = gaussian_filter(rng.normal(size=(2, *CELLS)), (0, 2, 2))
    maps = [resize((mask == c)[None].astype(np.float32), CELLS)[0] for c in (1, 2)]
    maps = np.clip(0.7 * np.stack(maps) + noise, 0, 1).astype(np.float32)
    cells = resize(height[None], CELLS)[0]
    edges = np.full((len(neighbour_offsets(5)), *CELLS), np.nan, np.float32)
    for each, offset in zip(edges, neighbour_offsets(5), strict=True):
        first, second = pair_slices(offset, *CELLS)
        each[first] = np.exp(-3 * np.abs(cells[first] - cells[second]) / cells.std())
    return mask, maps, edges


def stored(folder, maps, edges):
    """What the walk reads after the stages before it have written."""
    write_array(folder / "maps.npy", maps)
    write_edges(folder / "edges.h5", [("a", edges.astype(np.float16))])
    return read_array(folder / "maps.npy", len(maps)), read_edges(folder / "edges.h5", "a")


@pytest.mark.parametrize("alpha", ["auto", 8])
def test_half_precision_costs_less_than_a_twentieth_of_a_point(tmp_path, rng, alpha):
    walk = {"alpha": alpha, "gamma": 5, "beta": 8, "t": 256, "tolerance": 1e-5}
    masks, exact, rounded = [], [], []
    for _ in range(30):
        mask, maps, edges = example(rng)
        scores, _ = walk_with_background(maps, edges, **walk)
        masks.append(mask)
        exact.append(arg_max(scores, [1, 2], SIZE))
        scores, _ = walk_with_background(*stored(tmp_path, maps, edges), **walk)
        write_array(tmp_path / "scores.npy", scores)
        rounded.append(arg_max(read_array(tmp_path / "scores.npy", 3), [1, 2], SIZE))
    assert any((one != other).any() for one, other in zip(exact, rounded, strict=True))
    miou = [
        class_scores(confusion_matrix(zip(masks, labels, strict=True), 2), ["a", "b"])["iou"].mean()
        for labels in (exact, rounded)
    ]
    assert 40 < miou[0] < 95  # neither trivial nor hopeless
    assert miou[1] == pytest.approx(miou[0], abs=0.05)
