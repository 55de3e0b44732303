"""The exponent of the background that is chosen without masks."""

import numpy as np
import pytest

from psa_core.method import walk
from psa_core.method.background import (
    EXPONENTS,
    best_exponent,
    mean_cut_weight,
    walk_with_background,
)
from psa_core.method.maps import with_background
from psa_core.method.pairs import neighbour_offsets, pair_slices

OTHERS = {"gamma": 2, "beta": 8, "t": 16, "tolerance": 1e-6}


def edges_between(regions: np.ndarray, *, across: float, within: float = 1.0) -> np.ndarray:
    """Affinities at gamma 2, one value for pairs in one region and one for pairs in two."""
    offsets = neighbour_offsets(2)
    edges = np.full((len(offsets), *regions.shape), np.nan, np.float32)
    for p, offset in enumerate(offsets):
        first, second = pair_slices(offset, *regions.shape)
        edges[p][first] = np.where(regions[first] == regions[second], within, across)
    return edges


def test_mean_cut_weight_by_hand():
    # A row of four cells; pairs (0, 1), (1, 2), (2, 3) of weights .9, .1, .8.
    weights = np.full((len(neighbour_offsets(2)), 1, 4), np.nan)
    weights[neighbour_offsets(2).index((0, 1))] = [[0.9, 0.1, 0.8, np.nan]]
    labels = np.array([[[0, 1, 1, 0]], [[0, 0, 2, 2]], [[1, 2, 2, 2]], [[1, 1, 1, 1]]])
    found = mean_cut_weight(labels, weights, gamma=2)
    assert found.tolist() == pytest.approx([0.85, 0.1, 0.9, np.inf])


@pytest.mark.parametrize("edge", [6, 7, 8])
def test_the_border_lies_where_the_affinity_is_low(edge):
    """The class map falls from left to right, so each exponent cuts the image at one column."""
    maps = np.tile(np.linspace(0.95, 0.05, 10), (6, 1))[None]
    weights = edges_between(np.tile(np.arange(10) >= edge, (6, 1)), across=0.1)
    backgrounds = np.concatenate([with_background(maps, each)[:1] for each in EXPONENTS])
    widths = (maps > backgrounds).sum(2)[:, 0]
    assert set(widths) == {6, 7, 8, 9}
    assert widths[best_exponent(backgrounds, maps, weights, gamma=2)] == edge


@pytest.mark.parametrize(("flooding", "expected"), [(1, 0), (2, 0), (3, 1), (6, 4)])
def test_exponents_far_from_otsus_area_do_not_count(flooding, expected):
    """A class map of 0.9 in three columns and 0.02 in seven; Otsu's threshold takes the three.

    So do all exponents but the first, which flood the image up to an edge at column 8. Their border
    is the better one, but of them only the last two before the others count.
    """
    maps = np.tile([0.9] * 3 + [0.02] * 7, (6, 1))[None]
    weights = edges_between(np.tile(np.arange(10) >= 8, (6, 1)), across=0.0, within=0.5)
    backgrounds = np.full((len(EXPONENTS), 6, 10), 0.5)
    backgrounds[:flooding, :, :8] = 0
    assert best_exponent(backgrounds, maps, weights, gamma=2) == expected


def test_maps_without_any_border_take_the_first_exponent():
    """The object covers the image at every exponent, so all have the same area."""
    backgrounds = np.zeros((len(EXPONENTS), 4, 4))
    maps = np.linspace(0.1, 1, 16).reshape(1, 4, 4)
    weights = edges_between(np.zeros((4, 4)), across=1.0)
    assert best_exponent(backgrounds, maps, weights, gamma=2) == 0


def test_maps_of_one_value_are_no_error():
    zeros = np.zeros((1, 4, 4))
    backgrounds, weights = np.ones((len(EXPONENTS), 4, 4)), edges_between(zeros[0], across=1.0)
    assert best_exponent(backgrounds, zeros, weights, gamma=2) == 0


def test_a_number_walks_with_that_exponent(rng):
    maps = rng.random((2, 5, 6))
    edges = edges_between(rng.integers(0, 2, (5, 6)), across=0.2, within=0.9)
    scores, exponent = walk_with_background(maps, edges, alpha=3, **OTHERS)
    assert exponent == 3
    np.testing.assert_array_equal(scores, walk.propagate(with_background(maps, 3), edges, **OTHERS))


def test_auto_walks_with_the_exponent_that_it_names(rng):
    maps = rng.random((2, 5, 6))
    edges = edges_between(rng.integers(0, 2, (5, 6)), across=0.2, within=0.9)
    scores, exponent = walk_with_background(maps, edges, alpha="auto", **OTHERS)
    assert exponent in EXPONENTS
    expected = walk.propagate(with_background(maps, exponent), edges, **OTHERS)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_steps_scale_with_the_cells():
    assert walk.steps(256, 47 * 63) == 256
    assert walk.steps(256, 4 * 47 * 63) == 1024
    assert walk.steps(1, 1) == 1


def test_scaled_steps_are_those_of_the_cells(rng):
    maps, edges = rng.random((1, 7, 9)), edges_between(np.zeros((7, 9)), across=1, within=0.5)
    scaled = walk.propagate(maps, edges, **OTHERS | {"t": 470, "scale_t": True})
    # 470 * 63 / 2961 = 10 steps
    np.testing.assert_array_equal(scaled, walk.propagate(maps, edges, **OTHERS | {"t": 10}))
