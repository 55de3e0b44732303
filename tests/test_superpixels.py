"""The superpixel baseline, by hand."""

import numpy as np

from psa_core.evaluation.superpixels import pool, superpixel_labels


def test_maps_are_averaged_over_each_segment():
    segment = np.array([[0, 0, 1], [0, 1, 1]])
    maps = np.array([[[1.0, 2, 3], [3, 5, 1]], [[0.0, 0, 6], [0, 0, 0]]])
    expected = [[[2, 2, 3], [2, 3, 3]], [[0, 0, 2], [0, 2, 2]]]
    np.testing.assert_array_equal(pool(maps, segment), expected)


def quarters():
    """Four squares of 16 pixels, each of its own colour."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, 16:] = 255
    image[16:, :, 0] = 128
    return image


def test_one_label_per_superpixel():
    """The left squares have 3/4 on average, the right ones 1/4; 1 - M is the background."""
    row = np.array([1, 1, 1, 0] * 4 + [0, 0, 0, 1] * 4, float)
    maps = row[None, None].repeat(32, 1)
    labels = superpixel_labels(quarters(), maps, [5], segments=4, compactness=10, alpha=1)
    np.testing.assert_array_equal(labels, [[5] * 16 + [0] * 16] * 32)
    assert labels.dtype == np.uint8


def test_background_has_its_exponent():
    # (1 - 1/4)^1 = 3/4 is more than 1/4, (1 - 1/4)^8 = 1/10 is less.
    maps = np.full((1, 2, 2), 0.25)
    options = {"segments": 4, "compactness": 10}
    assert (superpixel_labels(quarters(), maps, [5], alpha=1, **options) == 0).all()
    assert (superpixel_labels(quarters(), maps, [5], alpha=8, **options) == 5).all()
