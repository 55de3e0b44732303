"""The rule that makes affinity labels (paper, section 3.2), by hand."""

import numpy as np

from psa_core.method.affinity_labels import (
    affinity_labels,
    confident_areas,
    with_true_mask,
)

# With weightless pairwise terms the CRF leaves the arg max to the scores.
NO_CRF = {
    "iterations": 1,
    "gaussian": {"sxy": 1, "compat": 0},
    "bilateral": {"sxy": 1, "srgb": 1, "compat": 0},
}


def test_every_pair_of_arg_maxima():
    # rows: at alpha_low background, class 5, class 9; columns: the same at alpha_high.
    low = np.array([[0, 0, 0], [1, 1, 1], [2, 2, 2]])
    high = np.array([[0, 1, 2], [0, 1, 2], [0, 1, 2]])
    expected = [
        [0, 255, 255],  # background at alpha_low alone says nothing
        [0, 5, 5],  # background at alpha_high wins over an object, as in the release
        [0, 9, 9],  # which object is decided at alpha_low
    ]
    labels = confident_areas(low, high, [5, 9])
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.uint8


def test_labels_of_an_image():
    # M:           0      .01    .2            .5     .9
    # (1 - M)^4:   1      .961   .410 > .2     .0625  .0001
    # (1 - M)^24:  1      .786   .0047 < .2    6e-8   1e-24
    # so:          back-  back-  neutral       class  class
    rows = np.array([[0, 0.01, 0.2, 0.5, 0.9], [0, 0, 0.1, 0.6, 0.1]])
    labels = affinity_labels(
        np.full((1, 5, 3), 128, np.uint8),
        rows[:, None],
        [4, 20],
        alpha_low=4,
        alpha_high=24,
        dcrf=NO_CRF,
    )
    np.testing.assert_array_equal(labels, [[0, 0, 255, 20, 4]])


def test_maps_are_brought_to_the_size_of_the_image():
    labels = affinity_labels(
        np.full((16, 24, 3), 128, np.uint8),
        np.array([[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]]),
        [7],
        alpha_low=4,
        alpha_high=24,
        dcrf=NO_CRF,
    )
    assert labels.shape == (16, 24)
    assert (labels[:, :4] == 7).all()
    assert (labels[:, 12:] == 0).all()


def test_labels_have_the_size_that_is_asked_for():
    """From an image at half the size."""
    options = {"alpha_low": 4, "alpha_high": 24, "dcrf": NO_CRF}
    maps = np.array([[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]])
    image = np.full((16, 24, 3), 128, np.uint8)
    whole = affinity_labels(image, maps, [7], size=(32, 48), **options)
    half = affinity_labels(image, maps, [7], **options)
    np.testing.assert_array_equal(whole, half.repeat(2, 0).repeat(2, 1))


def test_auto_is_half_and_six_times_otsus_exponent():
    # Otsu's threshold lies between 0.2 and 0.8 at 0.5, where the exponent is 1 (maximum 1).
    row = np.array([[0.0, 0.1, 0.2, 0.8, 0.9, 1.0]])
    image = np.full((1, 6, 3), 128, np.uint8)
    found = [
        affinity_labels(image, row[None], [3], alpha_low=low, alpha_high=high, dcrf=NO_CRF)
        for low, high in (("auto", "auto"), (0.5, 6))
    ]
    np.testing.assert_array_equal(*found)
    # (1 - M)^0.5: 1, .95, .89, .45, .32, 0; (1 - M)^6: 1, .53, .26, 6e-5, ...
    np.testing.assert_array_equal(found[0], [[0, 0, 0, 3, 3, 3]])


def test_the_image_moves_the_border_of_the_areas():
    """A map that spills over a colour edge is no confident object there."""
    image = np.full((16, 16, 3), 20, np.uint8)
    image[:, 8:] = 230
    maps = np.zeros((1, 16, 16))
    maps[0, :, :8], maps[0, :, 8:10] = 0.9, 0.6
    dcrf = {
        "iterations": 10,
        "gaussian": {"sxy": 3, "compat": 3},
        "bilateral": {"sxy": 80, "srgb": 13, "compat": 10},
    }
    options = {"alpha_low": 4, "alpha_high": 24}
    np.testing.assert_array_equal(
        affinity_labels(image, maps, [3], dcrf=NO_CRF, **options)[0], [3] * 10 + [0] * 6
    )
    np.testing.assert_array_equal(
        affinity_labels(image, maps, [3], dcrf=dcrf, **options)[0], [3] * 8 + [255] * 2 + [0] * 6
    )


def test_true_masks_of_some_classes():
    """Class 2 is known, class 3 is not; columns are the labels from the class maps."""
    labels = np.array([[0, 2, 3, 255]] * 4, np.uint8)
    mask = np.repeat([[0], [2], [3], [255]], 4, 1).astype(np.uint8)
    expected = [
        [0, 0, 0, 0],  # true background
        [2, 2, 2, 2],  # a listed class
        [255, 255, 3, 255],  # another class: neither background nor class 2
        [255, 255, 255, 255],  # ignored
    ]
    known = with_true_mask(labels, mask, [2])
    np.testing.assert_array_equal(known, expected)
    assert known.dtype == np.uint8


def test_image_without_a_listed_class_keeps_its_labels():
    labels = np.array([[0, 3, 255, 2]], np.uint8)
    mask = np.array([[3, 3, 0, 255]], np.uint8)
    np.testing.assert_array_equal(with_true_mask(labels, mask, [2]), labels)


def test_a_smaller_crf_sees_the_same_scene(rng):
    """Two flat halves, their border blurred by a pixel; kernels keep their width in the image."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, 24:] = 200
    maps = np.zeros((1, 6, 8), np.float32)
    maps[:, :, 3:] = 1
    dcrf = {
        "iterations": 5,
        "gaussian": {"sxy": 3, "compat": 3},
        "bilateral": {"sxy": 20, "srgb": 13, "compat": 10},
    }
    labels = affinity_labels(image, maps, [4], alpha_low=2.0, alpha_high=8.0, scale=0.5, dcrf=dcrf)
    assert labels.shape == (48, 64)
    assert set(labels[:, :22].flat) == {0}
    assert set(labels[:, 26:].flat) == {4}
