"""Properties that hold for any input: the walk, pairs of cells, scores, background, CRF labels.

Inputs are drawn by hypothesis; each reference is slow and obvious. tests/conftest.py sets how many.
"""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from psa_core.evaluation import metrics
from psa_core.method import maps, pairs, walk
from psa_core.method.affinity_labels import affinity_labels, confident_areas
from psa_core.method.background import mean_cut_weight, walk_with_background
from psa_core.method.pseudo_labels import confident_arg_max, pseudo_labels

SIDES = st.integers(1, 6)
UNIT = st.floats(0, 1, width=32)
GAMMAS = st.sampled_from([1.5, 2.0, 3.0, 5.0])
DCRF = {
    "iterations": 2,
    "gaussian": {"sxy": 3, "compat": 3},
    "bilateral": {"sxy": 10, "srgb": 5, "compat": 5},
}


@st.composite
def walks(draw):
    """(maps [K, h, w], edges [P, h, w], gamma): NaN where a neighbour lies outside the map."""
    height, width, gamma = draw(SIDES), draw(SIDES), draw(GAMMAS)
    offsets = [
        (dy, dx)
        for dy, dx in product(range(6), range(-6, 7))
        if (dy > 0 or dx > 0) and dy**2 + dx**2 < gamma**2
    ]
    edges = draw(arrays(np.float32, (len(offsets), height, width), elements=UNIT))
    for p, y, x in np.ndindex(edges.shape):
        dy, dx = offsets[p]
        if y + dy >= height or not 0 <= x + dx < width:
            edges[p, y, x] = np.nan
    cells = draw(arrays(np.float32, (draw(st.integers(1, 3)), height, width), elements=UNIT))
    return cells, edges, gamma


def label_maps(classes, height, width):
    values = st.sampled_from([*range(classes + 1), 255])
    return arrays(np.uint8, (height, width), elements=values)


# --- pairs and walk -------------------------------------------------------------------------------


@given(height=SIDES, width=SIDES, gamma=st.floats(1.01, 6))
def test_each_pair_of_neighbours_is_there_once(height, width, gamma):
    cells = np.arange(height * width).reshape(height, width)
    found = []
    for offset in pairs.neighbour_offsets(gamma):
        first, second = pairs.pair_slices(offset, height, width)
        found += zip(cells[first].ravel().tolist(), cells[second].ravel().tolist(), strict=True)
    places = list(np.ndindex(height, width))
    expected = {
        (places.index(a), places.index(b))
        for a, b in product(places, places)
        if a < b and (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 < gamma**2
    }
    assert len(found) == len(set(found))
    assert {tuple(sorted(pair)) for pair in found} == expected


@given(walks(), st.floats(0.1, 20), st.integers(1, 3000))
def test_a_walk_takes_means_of_scores(drawn, beta, t):
    """Rows of T^t sum to 1: no score leaves the range of its map, and constants stay."""
    cells, edges, gamma = drawn
    constant = np.ones_like(cells[:1])
    given_maps = np.concatenate([cells, constant])
    walked = walk.propagate(given_maps, edges, gamma=gamma, beta=beta, t=t, tolerance=1e-5)
    assert np.isfinite(walked).all()
    slack = 1e-5 + 6e-8 * t  # entries of the matrix are rounded to 6e-8 of their value
    assert (walked.max((1, 2)) <= given_maps.max((1, 2)) + slack).all()
    assert (walked.min((1, 2)) >= given_maps.min((1, 2)) - slack).all()
    assert np.abs(walked[-1] - 1).max() < slack


@given(walks(), st.integers(1, 500))
def test_affinities_of_zero_move_nothing(drawn, t):
    cells, edges, gamma = drawn
    none = np.where(np.isnan(edges), edges, 0)
    walked = walk.propagate(cells, none, gamma=gamma, beta=8, t=t, tolerance=1e-5)
    assert np.abs(walked - cells).max() < 1e-5


@given(walks(), st.sampled_from(["auto", 2.0, 32.0]))
def test_a_walk_with_background_has_one_map_more(drawn, alpha):
    cells, edges, gamma = drawn
    settings = {"beta": 8, "t": 64, "tolerance": 1e-5, "scale_t": True}
    scores, exponent = walk_with_background(cells, edges, alpha=alpha, gamma=gamma, **settings)
    assert scores.shape == (len(cells) + 1, *cells.shape[1:])
    assert np.isfinite(scores).all()
    assert exponent > 0


@given(walks(), st.data())
def test_mean_weight_of_a_cut(drawn, data):
    cells, edges, gamma = drawn
    labels = data.draw(arrays(np.int64, (1, *cells.shape[1:]), elements=st.integers(0, 2)))
    weights = []
    for weight, offset in zip(edges, pairs.neighbour_offsets(gamma), strict=True):
        first, second = pairs.pair_slices(offset, *weight.shape)
        weights += weight[first][labels[0][first] != labels[0][second]].tolist()
    expected = np.mean(weights) if weights else np.inf
    assert mean_cut_weight(labels, edges, gamma=gamma)[0] == pytest.approx(expected, rel=1e-5)


# --- scores ---------------------------------------------------------------------------------------


@st.composite
def scored(draw):
    classes, height, width = draw(st.integers(1, 3)), draw(SIDES), draw(SIDES)
    several = draw(st.integers(1, 3))
    one = label_maps(classes, height, width)
    return classes, [(draw(one), draw(one)) for _ in range(several)]


@given(scored())
def test_scores_count_pixels(drawn):
    classes, images = drawn
    table = metrics.scores(
        metrics.confusion_matrices(images, classes),
        [f"c{i}" for i in range(1, classes + 1)],
        stage="walk",
        split="train",
        images=len(images),
    )
    pixels = [
        (t, p)
        for true, predicted in images
        for t, p in zip(true.ravel(), predicted.ravel(), strict=True)
        if 255 not in (t, p)
    ]
    ious = []
    for index in range(classes + 1):
        hits = sum(t == p == index for t, p in pixels)
        union = sum(index in (t, p) for t, p in pixels)
        ious.append(100 * hits / union if union else np.nan)
    np.testing.assert_allclose(table["iou"][:-1], ious, atol=1e-9)
    assume(not np.isnan(ious).all())
    assert table["iou"].iloc[-1] == pytest.approx(np.nanmean(ious))
    sums = table[["iou", *metrics.LOSSES]].sum(axis=1, skipna=False)[:-1]
    np.testing.assert_allclose(sums[~np.isnan(ious)], 100, atol=1e-9)


@given(scored())
def test_scores_do_not_depend_on_the_order_of_images(drawn):
    classes, images = drawn
    there = metrics.confusion_matrices(images, classes)
    assert (there == metrics.confusion_matrices(images[::-1], classes)).all()


# --- background and labels ------------------------------------------------------------------------


@given(arrays(np.float32, st.tuples(st.integers(0, 3), SIDES, SIDES), elements=UNIT), st.data())
def test_background_and_class_maps_stay_in_the_unit_interval(cells, data):
    alpha = data.draw(st.one_of(st.just("auto"), st.floats(0, 100)))
    scores = maps.with_background(cells, alpha)
    assert scores.shape == (len(cells) + 1, *cells.shape[1:])
    assert (scores >= 0).all()
    assert (scores <= 1).all()


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30))
def test_otsus_threshold_has_the_least_variance_within(values):
    assume(min(values) < max(values))
    values = np.array(values, np.float64)

    def within(threshold):
        parts = values[values <= threshold], values[values > threshold]
        return sum(((part - part.mean()) ** 2).sum() for part in parts if len(part))

    best = min(within(value) for value in values[values < values.max()])
    assert within(maps.otsu_threshold(values)) <= best + 1e-9


@given(arrays(np.float32, st.tuples(st.integers(1, 4), SIDES, SIDES), elements=UNIT))
def test_confident_scores_are_probabilities_in_the_same_order(scores):
    found = confident_arg_max(scores, 0.8)
    if len(scores) > 1:
        np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)
    assert (found.argmax(0) == scores.argmax(0)).all()


@given(st.data(), st.integers(1, 3), SIDES, SIDES)
def test_labels_of_an_image_are_its_classes(data, count, height, width):
    """Whatever the maps and pixels are: no other class, no other size, each pixel labelled."""
    classes = [2, 5, 9][:count]
    cells = data.draw(arrays(np.float32, (count, 3, 4), elements=UNIT))
    image = data.draw(arrays(np.uint8, (height, width, 3)))
    walked = maps.with_background(cells, "auto")
    labels = pseudo_labels(image, walked, classes, confidence=0.8, dcrf=DCRF)
    assert labels.shape == (height, width)
    assert set(np.unique(labels)) <= {0, *classes}
    alphas = {"alpha_low": "auto", "alpha_high": "auto"}
    areas = affinity_labels(image, cells, classes, **alphas, scale=0.5, dcrf=DCRF)
    assert areas.shape == (height, width)
    assert set(np.unique(areas)) <= {0, *classes, 255}


@given(st.data(), SIDES, SIDES)
def test_confident_areas_agree_with_both_labels(data, height, width):
    best = arrays(np.int64, (height, width), elements=st.integers(0, 2))
    low, high = data.draw(best), data.draw(best)
    areas = confident_areas(low, high, [3, 7])
    for y, x in np.ndindex(height, width):
        expected = 0 if high[y, x] == 0 else [255, 3, 7][low[y, x]]
        assert areas[y, x] == expected
