"""Pseudo labels: what the CRF is given, and what it makes of it."""

import numpy as np
import pytest
from PIL import Image

from psa_core.method.pseudo_labels import confident_arg_max, pseudo_labels

NO_CRF = {
    "iterations": 1,
    "gaussian": {"sxy": 1, "compat": 0},
    "bilateral": {"sxy": 1, "srgb": 1, "compat": 0},
}


def test_the_best_score_gets_the_confidence_and_the_others_share_the_rest():
    scores = np.array([[[0.30, 0.2]], [[0.31, 0.1]], [[0.1, 0.5]]])
    expected = [[[0.1, 0.1]], [[0.8, 0.1]], [[0.1, 0.8]]]
    np.testing.assert_allclose(confident_arg_max(scores, 0.8), expected, rtol=1e-6)


def test_only_the_order_of_the_scores_matters(rng):
    scores = rng.random((4, 5, 6))
    np.testing.assert_array_equal(
        confident_arg_max(scores, 0.7), confident_arg_max(0.5 + scores**3 / 9, 0.7)
    )


def test_labels_name_the_classes():
    scores = np.array([[[0.6, 0.2, 0.1]], [[0.3, 0.7, 0.2]], [[0.1, 0.1, 0.7]]])
    found = pseudo_labels(
        np.full((1, 3, 3), 90, np.uint8), scores, [6, 15], confidence=0.8, dcrf=NO_CRF
    )
    np.testing.assert_array_equal(found, [[0, 6, 15]])
    assert found.dtype == np.uint8


@pytest.mark.parametrize(("confidence", "is_kept"), [(0.51, False), (0.99, True)])
def test_confidence_decides_what_the_crf_may_smooth_away(confidence, is_kept):
    """A 4x4 object that differs a little from its ground."""
    image = np.full((20, 20, 3), 90, np.uint8)
    image[8:12, 8:12] = 160
    is_object = image[..., 0] == 160
    scores = np.stack([~is_object, is_object]).astype(float)
    dcrf = {
        "iterations": 10,
        "gaussian": {"sxy": 3, "compat": 3},
        "bilateral": {"sxy": 80, "srgb": 13, "compat": 1},
    }
    found = pseudo_labels(image, scores, [1], confidence=confidence, dcrf=dcrf)
    np.testing.assert_array_equal(found == 1, is_object & is_kept)


def test_labels_have_the_size_that_is_asked_for():
    """From an image at a quarter of the size, whose right half is the object."""
    scores = np.zeros((2, 4, 6))
    scores[1, :, 3:], scores[0, :, :3] = 1, 1
    image = np.full((4, 6, 3), 90, np.uint8)
    options = {"confidence": 0.8, "dcrf": NO_CRF}
    found = pseudo_labels(image, scores, [7], size=(16, 24), **options)
    np.testing.assert_array_equal(found, np.repeat(7 * (np.arange(24) >= 12)[None], 16, 0))


def test_a_smaller_crf_sees_the_same_scene(rng):
    """It is that of the image at half its size with kernels of half the width."""
    image = rng.integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    scores = rng.random((3, 6, 8))
    dcrf = {
        "iterations": 3,
        "gaussian": {"sxy": 4, "compat": 3},
        "bilateral": {"sxy": 20, "srgb": 13, "compat": 5},
    }
    half = {
        "iterations": 3,
        "gaussian": {"sxy": 2, "compat": 3},
        "bilateral": {"sxy": 10, "srgb": 13, "compat": 5},
    }
    small = np.array(Image.fromarray(image).resize((32, 24), Image.Resampling.BILINEAR))
    expected = pseudo_labels(small, scores, [1, 2], confidence=0.8, dcrf=half, size=(48, 64))
    found = pseudo_labels(image, scores, [1, 2], confidence=0.8, scale=0.5, dcrf=dcrf)
    np.testing.assert_array_equal(found, expected)
    assert set(found.flat) == {0, 1, 2}
    unscaled = pseudo_labels(image, scores, [1, 2], confidence=0.8, dcrf=dcrf)
    assert (found != unscaled).any()
