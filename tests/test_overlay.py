"""Label maps over photographs: colours and outlines by hand."""

import numpy as np

from psa_core.evaluation import overlay


def test_outline_has_the_pixels_on_both_sides_of_an_edge():
    labels = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 2, 2]], np.uint8)
    expected = [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 1, 1]]
    np.testing.assert_array_equal(overlay.outline(labels), np.array(expected, bool))


def test_overlay_leaves_the_background_as_it_was():
    photograph = np.full((9, 9, 3), 100, np.uint8)
    labels = np.zeros((9, 9), np.uint8)
    labels[:, 4:] = 1
    tinted = overlay.overlay(photograph, labels)
    np.testing.assert_array_equal(tinted[:, :3], photograph[:, :3])
    np.testing.assert_array_equal(tinted[:, 4], np.tile([86, 180, 233], (9, 1)))  # the outline
    # 0.45 * (86, 180, 233) + 0.55 * 100
    np.testing.assert_array_equal(tinted[:, 6], np.tile([94, 136, 160], (9, 1)))
    labels[:] = 255
    np.testing.assert_array_equal(overlay.overlay(photograph, labels)[0, 0], [122, 122, 122])


def test_classes_have_different_pairs_of_colours():
    colours = overlay.class_colours(49)
    assert colours.shape == (49, 2, 3)
    assert len({pair.tobytes() for pair in colours}) == 49
    np.testing.assert_array_equal(colours[:7, 0], colours[:7, 1])
    np.testing.assert_array_equal(colours[0, 0], [86, 180, 233])
    assert all((colours[7:, 0] != colours[7:, 1]).any(axis=1))
    assert len(overlay.class_colours(253)) == 253


def test_a_wide_outline_has_all_pixels_near_an_edge():
    labels = np.ones((5, 7), np.uint8)
    labels[2, 3] = 0
    expected = [
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
    ]
    np.testing.assert_array_equal(overlay.outline(labels, 2), np.array(expected, bool))


def test_outlines_and_stripes_grow_with_the_image():
    labels = np.zeros((4, 1000), np.uint8)
    labels[:, 500:] = 8  # a class of two colours
    photograph = np.zeros((*labels.shape, 3), np.uint8)
    tinted = overlay.overlay(photograph, labels)
    first, second = overlay.class_colours(8)[-1]
    assert (tinted[:, :500] == 0).all()
    # Two pixels of the outline, stripes of eight: those of x + y = 496 .. 503, 504 .. 511, ...
    np.testing.assert_array_equal(tinted[0, 500:502], [first, first])
    inside = tinted[0, 502:512].astype(int)
    np.testing.assert_array_equal(inside[:2], [(0.45 * first).round()] * 2)
    np.testing.assert_array_equal(inside[2:], [(0.45 * second).round()] * 8)


def test_rows_that_are_drawn_in_turn_are_those_of_the_whole(rng, monkeypatch):
    photograph = rng.integers(0, 256, (50, 30, 3), dtype=np.uint8)
    labels = rng.choice(np.array([0, 1, 9, 255], np.uint8), (50, 30))
    whole = overlay.overlay(photograph, labels)
    monkeypatch.setattr(overlay, "PIXELS", 7 * 30)
    np.testing.assert_array_equal(overlay.overlay(photograph, labels), whole)


def test_a_legend_shows_both_colours_of_a_class():
    lines = overlay.legend([f"class {number}" for number in range(8)])
    assert "rgb(86,180,233)" in lines[-7]  # of class 0 again: the first colour of the eighth ...
    assert "rgb(230,159,0)" in lines[-6]  # ... and its second
    assert ">ignored<" in lines[-2]
    assert "rgb(150,150,150)" in lines[-3]
