"""Class activation maps of another method: read, normalised, refused."""

import numpy as np
import pytest

from psa_core.datasets.foreign_maps import read_foreign


def test_foreign_maps_are_divided_by_their_maxima(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([[[1.0, 4.0]], [[0.5, 0.25]], [[0.0, 0.0]]]))
    read = read_foreign(path, 3)
    np.testing.assert_array_equal(read, [[[0.25, 1]], [[1, 0.5]], [[0, 0]]])
    assert read.dtype == np.float32


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 4, 4), np.uint8), r"a.npy: uint8 instead of floats; save maps.astype"),
        (np.ones((3, 4, 4)), r"a.npy: shape \(3, 4, 4\), expected \[2, h, w\]; save one map for"),
        (np.ones((4, 4)), r"a.npy: shape \(4, 4\)"),
        (np.ones((2, 0, 4)), r"a.npy: shape \(2, 0, 4\)"),
        (np.array([[[0.5, np.nan]]] * 2), r"a.npy: holds nan; maps are finite and at least 0"),
        (np.array([[[0.5, np.inf]]] * 2), r"a.npy: holds inf"),
        (np.array([[[0.5, -0.25]]] * 2), r"a.npy: holds -0.25"),
    ],
)
def test_foreign_arrays_that_are_no_maps_are_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=message):
        read_foreign(tmp_path / "a.npy", 2)


def test_foreign_files_of_another_format_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    with pytest.raises(ValueError, match=r"a.npy: not a .npy array .*No such file"):
        read_foreign(path, 1)
    path.write_text("0.5 0.5")
    with pytest.raises(ValueError, match=r"a.npy: not a .npy array .*; save it with numpy.save"):
        read_foreign(path, 1)
    with path.open("wb") as file:
        np.savez(file, np.ones((1, 2, 2)))
    with pytest.raises(ValueError, match=r"a.npy: several arrays instead of floats"):
        read_foreign(path, 1)
