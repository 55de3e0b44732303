"""Sweeps over the walk's settings against the plain way, and scores by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest

from psa_core.evaluation import figures, sweeps
from psa_core.method import background, maps, walk
from psa_core.method.pairs import neighbour_offsets, pair_slices

GRID = {"alpha": [1, 1.5], "beta": [6, 20], "t": [8, 2]}
OTHERS = {"gamma": 5, "tolerance": 1e-5}


def edges_of(height, width, fill):
    """Affinities [34, H, W]: fill(shape) inside the map, NaN outside."""
    offsets = neighbour_offsets(5)
    edges = np.full((len(offsets), height, width), np.nan, np.float32)
    for affinity, offset in zip(edges, offsets, strict=True):
        first, _ = pair_slices(offset, height, width)
        affinity[first] = fill(affinity[first].shape)
    return edges


def test_label_maps_are_those_of_a_walk_with_each_combination(rng):
    size, edges = (45, 62), edges_of(6, 8, rng.random)
    y, x = np.mgrid[:5, :7]  # of another size than the edges
    class_maps = np.stack([0.8 * x / 6, 0.8 * y / 4]).astype(np.float32)
    cells = maps.resize(class_maps, (6, 8))
    walked = dict(sweeps.walk_labels(class_maps, edges, [3, 5], size, **GRID, **OTHERS))
    assert len({labels.tobytes() for labels in walked.values()}) == 8  # no two alike
    combinations = itertools.product(*(enumerate(values) for values in GRID.values()))
    for (a, alpha), (b, beta), (length, t) in combinations:
        scores = maps.with_background(cells, alpha)
        scores = walk.propagate(scores, edges, beta=beta, t=t, **OTHERS)
        labels = walked.pop((a, b, length))
        np.testing.assert_array_equal(labels, maps.arg_max(scores, [3, 5], size))
        assert labels.dtype == np.uint8
    assert not walked


def test_auto_takes_the_exponent_that_the_walk_would(rng):
    size, edges = (45, 62), edges_of(6, 8, rng.random)
    class_maps = rng.random((2, 6, 8)).astype(np.float32)
    grid = {"alpha": [3, "auto", 5], "beta": [2], "t": [4, 2]}
    walked = dict(sweeps.walk_labels(class_maps, edges, [3, 5], size, **grid, **OTHERS))
    assert sorted(walked) == list(itertools.product(range(3), [0], range(2)))
    for (a, _, length), labels in walked.items():
        settings = {"alpha": grid["alpha"][a], "beta": 2, "t": grid["t"][length]}
        scores, _ = background.walk_with_background(class_maps, edges, **settings, **OTHERS)
        np.testing.assert_array_equal(labels, maps.arg_max(scores, [3, 5], size))


def test_of_equal_scores_the_background_wins_as_by_arg_max():
    edges, class_maps = edges_of(2, 3, np.ones), np.ones((1, 2, 3), np.float32)
    grid = {"alpha": [0, 1], "beta": [8], "t": [16]}  # background 1 and 0
    labels = dict(sweeps.walk_labels(class_maps, edges, [2], (2, 3), **grid, **OTHERS))
    assert (labels[0, 0, 0] == 0).all()
    assert (labels[1, 0, 0] == 2).all()


def test_counts_by_hand():
    # No affinity, so nothing walks. The background is 1 - M at alpha 1 and (1 - M)^3 at alpha 3:
    # .9 .6 .4 .1 and .729 .216 .064 .001; the object wins above it at M of .6 .9, and .4 .6 .9.
    first = np.array([[[0.1, 0.4, 0.6, 0.9]]])
    second = np.array([[[0.9, 0.1, 0.1, 0.1]]])
    images = [
        (first, edges_of(1, 4, np.zeros), [2], np.array([[0, 2, 2, 255]], np.uint8)),
        (second, edges_of(1, 4, np.zeros), [1], np.array([[2, 0, 0, 0]], np.uint8)),
    ]
    grid = {"alpha": [1, 3], "beta": [8], "t": [4]}
    counts = sweeps.walk_counts(images, 2, **grid, **OTHERS)
    assert list(counts) == ["alpha", "beta", "t", "true", "predicted", "pixels"]
    assert counts.values.tolist() == [
        [1, 8, 4, 0, 0, 4],
        [1, 8, 4, 2, 0, 1],
        [1, 8, 4, 2, 1, 1],
        [1, 8, 4, 2, 2, 1],
        [3, 8, 4, 0, 0, 4],
        [3, 8, 4, 2, 1, 1],
        [3, 8, 4, 2, 2, 2],
    ]


def counts_of(*rows):
    return pd.DataFrame(rows, columns=[*sweeps.SETTINGS, "true", "predicted", "pixels"])


def test_scores_of_shards_together():
    # In all 6 and 2 pixels right, one wrong each way: IoU 6/8 and 2/4, precision and recall 6/7
    # and 2/3. The other combination has 3/4 and 1/2 (IoU), 1 and 1/2, 3/4 and 1.
    shards = [
        counts_of((2, 8, 9, 0, 0, 5), (2, 8, 9, 1, 1, 2), (1.5, 8, 10, 0, 0, 3)),
        counts_of((2, 8, 9, 0, 0, 1), (2, 8, 9, 0, 1, 1), (2, 8, 9, 1, 0, 1)),
        counts_of((1.5, 8, 10, 1, 1, 1), (1.5, 8, 10, 0, 1, 1)),
        counts_of(),  # a shard without a mask
    ]
    table = sweeps.walk_table(shards, ["cat"], 7)
    assert list(table) == ["alpha", "beta", "t", "miou", "precision", "recall", "images"]
    assert table.round(3).values.tolist() == [
        [1.5, 8, 10, 62.5, 75, 87.5, 7],
        [2, 8, 9, 62.5, 76.190, 76.190, 7],
    ]


def test_auto_is_the_first_row():
    """Tables of shards are read as text if one of their values is."""
    rows = [("auto", 8, 9, 0, 0, 1), ("16", 8, 9, 0, 0, 1), ("2", 8, 9, 0, 0, 1)]
    assert sweeps.walk_table([counts_of(*rows)], ["cat"], 1)["alpha"].tolist() == [
        "auto",
        "2",
        "16",
    ]


def test_a_sweep_over_no_image_is_refused():
    with pytest.raises(ValueError, match=r"no image has a mask"):
        sweeps.walk_table([], ["cat"], 0)


def test_figure_has_each_score_in_its_place():
    combinations = itertools.product([2, 4], [8, 12], [6, 7, 8])
    table = pd.DataFrame(combinations, columns=sweeps.SETTINGS)
    table["miou"] = 10 * table["alpha"] + table["beta"] + table["t"] / 10
    *panels, _ = figures.walk_sweep(table).axes
    assert [panel.get_title() for panel in panels] == ["alpha 2", "alpha 4"]
    for panel, alpha in zip(panels, [2, 4], strict=True):
        columns = [float(label.get_text()) for label in panel.get_xticklabels()]
        rows = [float(label.get_text()) for label in panels[0].get_yticklabels()]
        written = {text.get_position(): float(text.get_text()) for text in panel.texts}
        assert written == {
            (x, y): pytest.approx(10 * alpha + beta + t / 10)
            for (x, t), (y, beta) in itertools.product(enumerate(columns), enumerate(rows))
        }
    assert [len(panel.patches) for panel in panels] == [0, 1]
    assert panels[1].patches[0].get_xy() == (1.5, 0.5)  # the greatest: beta 12, log2 t 8
