"""Segments of another tool: the vote by hand, files that are read and refused."""

import numpy as np
import pytest
from PIL import Image

from psa_core.datasets.segments import read_segments
from psa_core.errors import UserError
from psa_core.method.segments import vote

# Two rows of ten pixels.
LABELS = np.array([[1, 1, 1, 0, 0, 2, 0, 0, 0, 255], [1, 1, 1, 0, 0, 2, 0, 3, 3, 255]], np.uint8)


def columns(*ranges: tuple[int, int]) -> np.ndarray:
    """Segments of whole columns, from the first of each pair to before the last."""
    found = np.zeros((len(ranges), 2, 10), bool)
    for segment, (start, stop) in zip(found, ranges, strict=True):
        segment[:, start:stop] = True
    return found


def test_a_segment_takes_the_class_of_more_than_half_of_it():
    voted = vote(LABELS, columns((0, 5)))  # 6 of 10 pixels are 1
    assert voted[:, :5].tolist() == [[1] * 5] * 2
    np.testing.assert_array_equal(voted[:, 5:], LABELS[:, 5:])  # in no segment


def test_half_is_not_more_than_half():
    segment = np.zeros((1, 2, 10), bool)
    segment[0, 0, 1:5] = True  # 1 1 0 0, and a third of all pixels of class 1
    assert vote(LABELS, segment)[0].tolist() == [1, 0, 0, 0, 0, 2, 0, 0, 0, 255]


def test_a_segment_with_nearly_all_of_a_class_takes_it():
    """2 of 8 pixels are class 2, all that there are."""
    assert vote(LABELS, columns((3, 7)))[:, 3:7].tolist() == [[2] * 4] * 2


def test_a_segment_of_two_such_classes_takes_the_more_frequent():
    # All of class 1 (6 pixels) and all of class 2 (2 pixels), in 14: neither more than half.
    assert (vote(LABELS, columns((0, 7)))[:, :7] == 1).all()


def test_other_segments_are_background():
    """Half of class 3 in a segment of four, whatever is ignored there."""
    voted = vote(LABELS, columns((8, 10)))
    assert voted.tolist() == [[1, 1, 1, 0, 0, 2, 0, 0, 0, 0], [1, 1, 1, 0, 0, 2, 0, 3, 0, 0]]


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_overlapping_segments_the_smaller_decides(order):
    voted = vote(LABELS, columns((0, 7), (4, 6))[order])
    assert voted[:, :7].tolist() == [[1, 1, 1, 1, 2, 2, 1]] * 2


def test_numbers_vote_as_their_masks_do(rng):
    labels = rng.choice(np.array([0, 1, 2, 255], np.uint8), (9, 11))
    numbers = rng.choice([0, 3, 70_000, 8], (9, 11))
    masks = numbers == np.array([3, 70_000, 8])[:, None, None]
    np.testing.assert_array_equal(vote(labels, numbers), vote(labels, masks))
    assert (vote(labels, numbers)[numbers == 0] == labels[numbers == 0]).all()


def test_no_segments_and_empty_ones_change_nothing():
    for segments in (columns(), columns((3, 3)), np.zeros((2, 10), int)):
        np.testing.assert_array_equal(vote(LABELS, segments), LABELS)


def test_the_labels_are_not_changed_in_place():
    before = LABELS.copy()
    vote(LABELS, columns((0, 10)))
    np.testing.assert_array_equal(LABELS, before)


def test_votes_are_those_of_a_loop_over_pixels(rng):
    labels = rng.choice(np.array([0, 1, 2, 255], np.uint8), (9, 11))
    segments = rng.random((6, 9, 11)) < 0.3
    expected = labels.copy()
    for segment in sorted(segments, key=np.sum, reverse=True):
        inside = [labels[y, x] for y in range(9) for x in range(11) if segment[y, x]]
        best, most = 0, 0
        for each in (1, 2):
            count, whole = inside.count(each), int((labels == each).sum())
            if (count > len(inside) / 2 or count >= 0.85 * whole) and count > most:
                best, most = each, count
        expected[segment] = best
    np.testing.assert_array_equal(vote(labels, segments), expected)


@pytest.mark.parametrize(("dtype", "last"), [(np.uint8, 200), (np.uint16, 40_000)])
def test_numbers_of_a_png(tmp_path, dtype, last):
    numbers = np.array([[0, 7, 7], [last, 0, last]], dtype)
    Image.fromarray(numbers).save(tmp_path / "a.png")
    found = read_segments(tmp_path / "a.png", (2, 3))
    np.testing.assert_array_equal(found, numbers)


def test_masks_of_an_npz_and_a_png_without_segments(tmp_path, rng):
    masks = rng.random((5, 4, 6)) < 0.5
    np.savez_compressed(tmp_path / "a.npz", masks)
    np.testing.assert_array_equal(read_segments(tmp_path / "a.npz", (4, 6)), masks)
    Image.new("L", (6, 4)).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_segments(tmp_path / "b.png", (4, 6)), np.zeros((4, 6)))


def test_files_that_are_refused(tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / "colours.png")
    Image.new("L", (5, 4)).save(tmp_path / "size.png")
    Image.new("L", (6, 4)).save(tmp_path / "lossy.png", "JPEG")
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.ones((1, 4, 6), bool))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "two.npz", np.ones((1, 4, 6), bool), np.ones((1, 4, 6), bool))
    np.savez(tmp_path / "floats.npz", np.ones((1, 4, 6)))
    np.savez(tmp_path / "flat.npz", np.ones((4, 6), bool))
    np.savez(tmp_path / "objects.npz", np.array([None]))
    for name, message in {
        "colours.png": r"no segments \(a PNG of mode RGB\): save segment numbers as a grey PNG, or",
        "lossy.png": r"no segments \(a JPEG of mode L\)",
        "size.png": r"5 x 4 pixels, but its image has 6 x 4: segment the image as it is",
        "text.png": r"no segments \(",
        "text.npz": r"no segments \(",
        "two.npz": r"no segments \(arrays arr_0, arr_1 instead of one\)",
        "floats.npz": r"no segments \(float64 of shape \(1, 4, 6\)\)",
        "flat.npz": r"no segments \(bool of shape \(4, 6\)\)",
        "objects.npz": r"no segments \(Object arrays cannot be loaded",
        "array.npz": r"no segments \(",
        "missing.png": r"no segments of this image: add the file",
    }.items():
        with pytest.raises(UserError, match=f"{name}: {message}"):
            read_segments(tmp_path / name, (4, 6))
