"""Disk space: a run that will not find room says so when its first training starts."""

import logging
import shutil
from types import SimpleNamespace

import pytest

from psa_core.datasets.index import ImageRow
from psa_core.runtime import space

GIB = 2**30


def rows(count, height, width):
    return [ImageRow(f"{i}", "", "", (), (), height, width) for i in range(count)]


@pytest.fixture
def free(monkeypatch):
    """A function that sets how many bytes of the disk are free."""

    def has(amount):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=amount))

    return has


@pytest.mark.parametrize(("amount", "is_enough"), [(1.39, False), (1.41, True)])
def test_what_is_needed_against_what_is_free(free, caplog, tmp_path, amount, is_enough):
    """4,096 images of 1024 x 1024, seen at 512 x 512: 1 GiB, and 0.1 * 4 GiB of PNG files."""
    free(amount * GIB)
    with caplog.at_level(logging.WARNING):
        space.warn_if_short(rows(4096, 1024, 1024), 512, tmp_path)
    assert (not caplog.messages) == is_enough
    if not is_enough:
        expected = f"take about 1.4 GiB more, but 1.4 GiB are free in {tmp_path}"
        assert expected in caplog.text


def test_results_that_are_there_need_no_room(free, caplog, tmp_path):
    free(0)
    (tmp_path / "cam").mkdir()
    (tmp_path / "cam/a.npy").write_bytes(bytes(11 * 100 * 100))
    (tmp_path / "cache.h5").write_bytes(bytes(10**6))  # is no part of the estimate
    space.warn_if_short(rows(10, 100, 100), None, tmp_path)
    assert not caplog.messages
    space.warn_if_short(rows(11, 100, 100), None, tmp_path)
    assert "take about 0.0 GiB more, but 0.0 GiB are free" in caplog.text
