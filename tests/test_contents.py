"""Contents of a data set's files, known by digests."""

import hashlib
import json
import os

import pytest

from psa_core.datasets import Files, read_contents
from psa_core.datasets.contents import digests


@pytest.fixture
def files(tmp_path):
    """Two files and a cache that has them."""
    paths = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for path in paths:
        path.write_text(path.stem)
    paths = list(map(str, paths))
    digests(paths, tmp_path / "cache/contents.json")
    return paths


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_digests_are_those_of_the_contents(files, tmp_path):
    lost = str(tmp_path / "lost.jpg")
    found = digests([*files, lost], tmp_path / "other.json")
    assert found == {files[0]: sha256("a"), files[1]: sha256("b"), lost: None}
    assert sorted(tmp_path.glob("other*")) == [tmp_path / "other.json"]  # no temporary file


def test_a_file_is_read_once(files, tmp_path):
    cache = tmp_path / "cache/contents.json"
    known = json.loads(cache.read_text())
    known[files[0]][3] = "as cached"
    cache.write_text(json.dumps(known))
    assert digests(files, cache) == {files[0]: "as cached", files[1]: sha256("b")}
    os.utime(files[0], (0, 0))  # then it is read again
    assert digests(files, cache)[files[0]] == sha256("a")
    assert json.loads(cache.read_text())[files[0]][3] == sha256("a")


@pytest.mark.parametrize("damaged", ["", '{"a": [1, '])
def test_a_damaged_cache_is_made_again(files, tmp_path, damaged):
    cache = tmp_path / "contents.json"
    expected = digests(files, cache)
    cache.write_text(damaged)
    assert digests(files, cache) == expected
    assert json.loads(cache.read_text()).keys() == set(files)


def test_a_copy_of_equal_size_and_time_is_noticed(files, tmp_path):
    stat = os.stat(files[0])
    tick = tmp_path / "tick"
    while not tick.exists() or tick.stat().st_ctime_ns <= stat.st_ctime_ns:
        tick.write_text("")  # file systems count time in steps of some milliseconds
    with open(files[0], "w") as file:
        file.write("x")
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digests(files, tmp_path / "cache/contents.json")[files[0]] == sha256("x")


def test_labels_that_were_read_stand_for_their_file(files, tmp_path):
    found = read_contents(
        {
            "a": Files(tmp_path / "a.jpg", ["cat"], None),
            "b": Files(tmp_path / "lost.jpg", tmp_path / "b.jpg", tmp_path / "a.jpg"),
        },
        tmp_path / "contents.json",
    )
    assert found == {
        "a": Files([files[0], sha256("a")], ["cat"], None),
        "b": Files(
            [str(tmp_path / "lost.jpg"), None], [files[1], sha256("b")], [files[0], sha256("a")]
        ),
    }
