"""Pseudo labels: sharpening and calibration of walk scores."""

import numpy as np
import pytest

from psa_core import labels

NO_CRF = {
    "iterations": 1,
    "gaussian": {"sxy": 1, "compat": 0},
    "bilateral": {"sxy": 1, "srgb": 1, "compat": 0},
}


def test_sharpened_scores():
    # Power 1 / .5 = 2: .04, .09, .01 of .14; a common factor does not matter.
    scores = np.array([0.2, 0.3, 0.1])[:, None, None]
    expected = np.array([4, 9, 1])[:, None, None] / 14
    np.testing.assert_allclose(labels.sharpen(scores, 0.5), expected)
    np.testing.assert_allclose(labels.sharpen(scores * 1e-3, 0.5), expected)


def test_temperature_one_only_normalises():
    scores = np.array([[[0.2, 0.0]], [[0.6, 0.5]]])
    np.testing.assert_allclose(labels.sharpen(scores, 1), [[[0.25, 0]], [[0.75, 1]]])


def test_sharpening_survives_scores_whose_power_is_below_single_precision():
    """(1e-4)^20 is 0 in float32, and 0 / 0 would be NaN."""
    scores = np.array([1e-4, 5e-5, 0], np.float32)[:, None, None]
    expected = np.array([1, 0.5**20, 0])[:, None, None]
    np.testing.assert_allclose(labels.sharpen(scores, 0.05), expected, rtol=1e-4)


def sampled(rng, temperature, images=3, cells=(40, 40)):
    """Scores softmax(z), and areas drawn from softmax(z / temperature)."""
    for _ in range(images):
        z = rng.normal(size=(3, *cells))
        scores = np.exp(z) / np.exp(z).sum(0)
        chances = np.exp(z / temperature)
        chances /= chances.sum(0)
        areas = (rng.random(cells) > chances.cumsum(0)).sum(0).clip(0, 2).astype(np.uint8)
        yield scores, areas


def test_confident_areas_are_sampled_at_the_cells_centres_and_name_the_scores():
    # 4x6 pixels in 2x2 cells: centres at rows 1, 3 and columns 1, 4 (from .5 / 2 * 4 and so on).
    areas = np.full((4, 6), 255, np.uint8)
    areas[1, 1], areas[1, 4], areas[3, 1] = 0, 9, 4
    scores = np.zeros((3, 2, 2))
    same, positions = labels.confident_scores(scores, areas, [4, 9])
    assert same is scores
    np.testing.assert_array_equal(positions, [[0, 2], [1, 255]])


@pytest.mark.parametrize("temperature", [0.2, 0.5, 0.8])
def test_calibration_finds_the_temperature_that_areas_were_drawn_at(rng, temperature):
    # 4,800 draws: the standard error is about 2 % of the temperature.
    found = labels.calibrate(sampled(rng, temperature))
    assert found == pytest.approx(temperature, rel=0.08)


def test_calibration_leaves_neutral_cells_out(rng):
    with_neutral = []
    for scores, areas in sampled(rng, 0.5):
        wrong = scores.argmin(0).astype(np.uint8)
        neutral = rng.random(areas.shape) < 0.5
        with_neutral.append((scores, np.where(neutral, np.uint8(255), areas)))
        assert (wrong != areas).any()
    assert labels.calibrate(with_neutral) == pytest.approx(0.5, rel=0.12)


def test_calibration_takes_images_of_different_classes_and_sizes(rng):
    z = rng.normal(size=(2, 60, 50))
    chance = 1 / (1 + np.exp((z[0] - z[1]) / 0.4))
    two_classes = np.exp(z), (rng.random((60, 50)) < chance).astype(np.uint8)
    found = labels.calibrate([*sampled(rng, 0.4), two_classes])
    assert found == pytest.approx(0.4, rel=0.08)


def test_calibration_stays_within_its_bounds(rng):
    """Always right asks for no temperature at all, drawn blindly for an endless one."""
    pairs = list(sampled(rng, 0.5))
    right = [(scores, scores.argmax(0).astype(np.uint8)) for scores, _ in pairs]
    blind = [(scores, rng.integers(0, 3, areas.shape, np.uint8)) for scores, areas in pairs]
    assert labels.calibrate(right) == pytest.approx(0.05, rel=0.01)
    assert labels.calibrate(blind) == pytest.approx(1, rel=0.01)


def test_refined_labels_name_the_classes():
    scores = np.array([[[0.6, 0.2, 0.1]], [[0.3, 0.7, 0.2]], [[0.1, 0.1, 0.7]]])
    found = labels.refine(
        np.full((1, 3, 3), 90, np.uint8), scores, [6, 15], temperature=0.5, dcrf=NO_CRF
    )
    np.testing.assert_array_equal(found, [[0, 6, 15]])
    assert found.dtype == np.uint8


def test_sharpening_decides_what_the_crf_may_smooth_away():
    """A 4x4 object with scores of .6 against .4: lost when taken as they are, kept sharpened."""
    image = np.full((20, 20, 3), 90, np.uint8)
    image[8:12, 8:12] = 160
    scores = np.where((image[..., 0] == 160)[None], [[[0.4]], [[0.6]]], [[[0.95]], [[0.05]]])
    dcrf = {
        "iterations": 10,
        "gaussian": {"sxy": 3, "compat": 3},
        "bilateral": {"sxy": 80, "srgb": 13, "compat": 1},
    }
    flat = labels.refine(image, scores, [1], temperature=1, dcrf=dcrf)
    sharp = labels.refine(image, scores, [1], temperature=0.05, dcrf=dcrf)
    assert (flat == 0).all()
    np.testing.assert_array_equal(sharp == 1, image[..., 0] == 160)
