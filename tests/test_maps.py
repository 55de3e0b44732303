"""The background map (paper, eq. 2), resizing and arg max of class maps."""

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from psa_core.method import maps

TWO_CLASSES = np.array([[[0.5, 0.0, 1.0]], [[0.25, 0.0, 0.3]]])


def test_background_is_what_the_best_class_leaves_to_the_power_alpha():
    # (1 - .5)^2 = .25, (1 - 0)^2 = 1, (1 - 1)^2 = 0.
    scores = maps.with_background(TWO_CLASSES, 2)
    np.testing.assert_allclose(scores, [[[0.25, 1, 0]], *TWO_CLASSES])


def test_background_at_the_alphas_of_the_paper():
    # .5^4 = .0625, .5^16 = 1.52588e-5, .5^24 = 5.96046e-8.
    background = [maps.with_background(TWO_CLASSES, alpha)[0, 0, 0] for alpha in (4, 16, 24)]
    np.testing.assert_allclose(background, [0.0625, 1.52588e-5, 5.96046e-8], rtol=1e-5)


def test_map_a_little_above_one_has_no_background():
    """Rounding to float16 must not make the power of a negative number."""
    assert maps.with_background(np.array([[[1.0005]]]), 1.5)[0] == 0


def test_enlarged_maps_keep_cell_centres_in_place():
    # The centres of the four new cells lie at 0 (clamped), 1/4, 3/4 and 1 between the old two.
    enlarged = maps.resize(np.array([[[0.0, 4.0]], [[4.0, 0.0]]]), (1, 4))
    np.testing.assert_allclose(enlarged, [[[0, 1, 3, 4]], [[4, 3, 1, 0]]])
    assert enlarged.dtype == np.float32


def test_enlarging_agrees_with_torch(rng):
    import torch.nn.functional as F
    from torch import from_numpy

    small = rng.random((2, 5, 7), np.float32)
    expected = F.interpolate(
        from_numpy(small)[None], (23, 31), mode="bilinear", align_corners=False
    )[0]
    np.testing.assert_allclose(maps.resize(small, (23, 31)), expected, atol=1e-5)


def test_shrinking_averages_all_that_a_cell_covers(rng):
    """A constant stays constant and no pixel is left out."""
    large = np.zeros((64, 8, 8))
    large[np.arange(64), np.arange(64) // 8, np.arange(64) % 8] = 1
    shrunk = maps.resize(large, (2, 2))
    np.testing.assert_allclose(shrunk.sum(0), np.ones((2, 2)), atol=1e-5)
    assert (shrunk.max((1, 2)) > 0).all()


def test_same_size_is_returned_as_it_is():
    array = np.array([[[0.1, 0.2]]], np.float16)
    resized = maps.resize(array, (1, 2))
    np.testing.assert_array_equal(resized, array)
    assert resized.dtype == np.float32


def test_arg_max_names_the_classes():
    scores = np.array([[[0.5, 0.1, 0.2]], [[0.4, 0.7, 0.3]], [[0.1, 0.2, 0.5]]])
    labels = maps.arg_max(scores, [3, 17], (1, 3))
    np.testing.assert_array_equal(labels, [[0, 3, 17]])
    assert labels.dtype == np.uint8
    assert maps.arg_max(scores, [3, 17], (4, 9)).shape == (4, 9)


def test_without_classes_all_is_background():
    none = np.zeros((0, 3, 4))
    for alpha in (4, "auto"):
        assert maps.with_background(none, alpha).tolist() == np.ones((1, 3, 4)).tolist()
    assert maps.resize(none, (6, 8)).shape == (0, 6, 8)
    assert maps.arg_max(np.ones((1, 3, 4)), (), (6, 8)).tolist() == np.zeros((6, 8)).tolist()


def test_otsus_threshold_by_hand():
    # Splits of 0, 1, 2, 9, 10: the variance within is least between 2 and 9.
    assert maps.otsu_threshold(np.array([[9.0, 0, 2], [10, 1, 0]])) == 5.5


def test_otsus_threshold_leaves_no_more_variance_than_scikit_images(rng):
    """Which takes the best of the centres of a histogram's bins."""
    values = np.concatenate([rng.normal(0.2, 0.05, 500), rng.normal(0.7, 0.1, 200)])

    def within(threshold):
        parts = values[values > threshold], values[values <= threshold]
        return sum(((part - part.mean()) ** 2).sum() for part in parts)

    ours, theirs = maps.otsu_threshold(values), threshold_otsu(values, nbins=4096)
    assert within(ours) <= within(theirs) * (1 + 1e-9)
    assert within(theirs) < within(ours) * 1.2


def test_otsus_exponent_puts_the_border_at_the_threshold():
    # Threshold halfway between 0.2 and 0.8 of the maximum: 0.5, where 1 - x = x.
    assert maps.otsu_exponent(np.array([[[0.16, 0.16, 0.64, 0.8]]])) == pytest.approx(
        np.log(0.5) / np.log(0.5)
    )
    # 0.1 and 0.3 below 1: threshold 0.65, (1 - 0.65)^alpha = 0.65
    found = maps.otsu_exponent(np.array([[[0.1, 0.3, 1.0, 1.0]]]))
    assert 0.35**found == pytest.approx(0.65)


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_constant_maps_have_exponent_one(value):
    assert maps.otsu_exponent(np.full((2, 3, 4), value)) == 1


def test_auto_takes_otsus_exponent():
    cells = np.array([[[0.1, 0.3, 1.0, 1.0]]])
    exponent = maps.otsu_exponent(cells)
    np.testing.assert_array_equal(
        maps.with_background(cells, "auto"), maps.with_background(cells, exponent)
    )
