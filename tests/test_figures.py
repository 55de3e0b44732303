"""Figures whose contents are worked out by hand."""

import numpy as np

from psa_core.evaluation import figures


def test_a_heat_map_leaves_the_image_where_no_class_is_active():
    image = np.full((2, 2, 3), 200, np.uint8)
    maps = np.array([[[0, 1], [0, 1]], [[0, 0], [0, 0]]], np.float32)
    found = figures.heat(image, maps)
    np.testing.assert_array_equal(found[:, 0], 200)
    brightest = np.array([252, 255, 164])  # of the colour map
    np.testing.assert_allclose(found[0, 1], 0.25 * 200 + 0.75 * brightest, atol=1.5)


def test_rows_have_the_names_of_their_images():
    picture = np.zeros((4, 4, 3), np.uint8)
    rows = {"a$b$": [picture, picture], "x" * 30 + "end": [picture]}
    figure = figures.grid(rows, ["image", "label"], ["cat"])
    shown = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert shown == ["a$b$", "…" + "x" * 20 + "end"]
    assert [axis.get_title() for axis in figure.axes[:2]] == ["image", "label"]
