"""Semantic boundaries and their F-measure, by hand."""

import numpy as np
import pytest

from psa_core.evaluation import boundaries

# 120 x 160 pixels have a diagonal of 200, so pixels up to 1.5 apart match.
HALVES = np.repeat([0, 3], 80)[None].repeat(120, 0).astype(np.uint8)


def test_strength_is_the_greatest_difference_to_a_nearest_neighbour():
    # Offsets at gamma 1.5: right, down left, down, down right; the diagonal ones do not count.
    edges = np.full((4, 2, 2), np.nan)
    edges[0, :, 0] = 0.9, 0.6
    edges[2, 0] = 0.5, 1.0
    edges[1, 0, 1] = edges[3, 0, 0] = 0.0
    strength = boundaries.boundary_strength(edges, (2, 2), gamma=1.5)
    np.testing.assert_allclose(strength, [[0.5, 0.1], [0.5, 0.4]], atol=1e-6)
    assert boundaries.boundary_strength(edges, (9, 7), gamma=1.5).shape == (9, 7)


def test_true_boundary_is_where_the_class_changes():
    mask = np.array([[1, 1, 0, 0], [2, 2, 0, 0]], np.uint8)
    np.testing.assert_array_equal(
        boundaries.true_boundaries(mask), [[True, True, False, False], [False, True, False, False]]
    )


def test_ignored_band_is_divided_among_its_neighbours():
    mask = np.array([[1, 255, 255, 0]], np.uint8)
    np.testing.assert_array_equal(boundaries.true_boundaries(mask), [[False, True, False, False]])
    assert not boundaries.true_boundaries(np.full((2, 2), 255, np.uint8)).any()


def test_matches_at_each_threshold():
    # The true boundary is column 79. Column 80 is 1 away, column 20 is wrong.
    strength = np.zeros((120, 160))
    strength[:, 80] = 0.6
    strength[:60, 20] = 0.3
    counts = boundaries.match(strength, HALVES, [0.2, 0.5, 0.9])
    np.testing.assert_array_equal(
        counts, [[120, 180, 120, 120], [120, 120, 120, 120], [0, 0, 0, 120]]
    )


def test_what_is_too_far_does_not_match():
    strength = np.zeros((120, 160))
    strength[:, 81] = 0.6  # 2 away
    np.testing.assert_array_equal(boundaries.match(strength, HALVES, [0.5]), [[0, 120, 0, 120]])


def test_predictions_are_thinned():
    """A band 3 wide and 120 long is a line of 118: thinning shortens it at both ends."""
    strength = np.zeros((120, 160))
    strength[:, 78:81] = 0.6
    assert boundaries.match(strength, HALVES, [0.5])[0, 1] == 118


def test_pixels_deep_in_an_ignored_area_are_left_out():
    mask = HALVES.copy()
    mask[:60] = 255  # row 59 is 1 from a class, row 58 is 2 from it
    strength = np.zeros((120, 160))
    strength[:, 79] = 0.6
    np.testing.assert_array_equal(boundaries.match(strength, mask, [0.5]), [[61] * 4])


def test_f_measures_of_a_data_set():
    counts = np.array(
        [
            [[4, 8, 4, 4], [3, 3, 3, 4]],  # F 2/3 and 6/7
            [[5, 5, 5, 10], [1, 1, 1, 10]],  # F 2/3 and 2/11
        ]
    )
    row = boundaries.scores(counts, [0.3, 0.7]).iloc[0]
    assert row["images"] == 2
    assert row["ods"] == pytest.approx(200 / 3)  # 9 of 13 and 9 of 14; 4 of 4 and 4 of 14 is 4/9
    assert row["threshold"] == 0.3
    assert row["ois"] == pytest.approx(100 * 8 / 11)  # 8 of 8 and 8 of 14


def test_no_image_is_refused():
    with pytest.raises(ValueError, match="no val image has a mask"):
        boundaries.scores(np.array([]))


def test_nothing_predicted_scores_zero():
    assert boundaries.f_measure(np.array([0, 0, 0, 5])) == 0
