"""Contents of files, known by digests."""

import hashlib
import json
import os

import pytest

from psa_core.datasets.contents import Digests
from psa_core.datasets.formats.source import DatasetError


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache/contents.json"


@pytest.fixture
def files(tmp_path, cache):
    """Two files and a cache that has them."""
    paths = [tmp_path / "a.jpg", tmp_path / "été b.jpg"]
    for path in paths:
        path.write_text(path.stem)
    paths = list(map(str, paths))
    Digests(cache).of(paths)
    return paths


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_digests_are_those_of_the_contents(files, tmp_path):
    lost = str(tmp_path / "lost.jpg")
    found = Digests(tmp_path / "other.json").of([*files, lost])
    assert found == {files[0]: sha256("a"), files[1]: sha256("été b"), lost: None}
    assert sorted(tmp_path.glob("other*")) == [tmp_path / "other.json"]  # no temporary file


def mark(cache, path):
    """Put a word in place of a digest that is known."""
    known = json.loads(cache.read_text())
    known["sha256"][path] = f"{known['sha256'][path].rpartition(' ')[0]} as-known"
    cache.write_text(json.dumps(known))


def test_a_file_is_read_once(files, cache):
    mark(cache, files[0])
    assert Digests(cache).of(files) == {files[0]: "as-known", files[1]: sha256("été b")}
    os.utime(files[0], (0, 0))  # then it is read again
    assert Digests(cache).of(files)[files[0]] == sha256("a")
    assert json.loads(cache.read_text())["sha256"][files[0]].endswith(sha256("a"))


def test_nothing_new_writes_nothing(files, cache):
    os.utime(cache, (0, 0))
    Digests(cache).of(files)
    assert cache.stat().st_mtime == 0


def test_files_that_are_not_asked_for_stay_known(files, cache, tmp_path):
    mark(cache, files[0])
    (tmp_path / "new.jpg").write_text("new")
    Digests(cache).of([str(tmp_path / "new.jpg")])
    assert Digests(cache).of(files)[files[0]] == "as-known"


def test_a_deleted_file_has_no_digest_and_its_successor_has_its_own(files, cache):
    os.remove(files[0])
    assert Digests(cache).of(files)[files[0]] is None
    with open(files[0], "w") as file:
        file.write("longer")
    assert Digests(cache).of(files)[files[0]] == sha256("longer")


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        '{"sha256": {"a": "1 2',
        '{"a.jpg": [1, 2, 3, "4"]}',
        "[1, 2]",
        '{"sha256": ["a"]}',
        '{"sha256": {"a": 1}}',
    ],
)
def test_a_damaged_cache_is_made_again(files, cache, damaged):
    expected = Digests(cache).of(files)
    cache.write_text(damaged)
    assert Digests(cache).of(files) == expected
    assert json.loads(cache.read_text())["sha256"].keys() == set(files)


def test_a_copy_of_equal_size_and_time_is_noticed(files, cache, tmp_path):
    stat = os.stat(files[0])
    tick = tmp_path / "tick"
    while not tick.exists() or tick.stat().st_ctime_ns <= stat.st_ctime_ns:
        tick.write_text("")  # file systems count time in steps of some milliseconds
    with open(files[0], "w") as file:
        file.write("x")
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert Digests(cache).of(files)[files[0]] == sha256("x")


def test_pipes_folders_devices_and_loops_are_refused_together(files, cache, tmp_path):
    """At once: reading a pipe would wait for a writer."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    names = ["pipe", "folder", "device", "loop"]
    with pytest.raises(DatasetError) as error:
        Digests(cache).of([*files, *(str(tmp_path / name) for name in names)])
    lines = str(error.value).splitlines()
    reasons = ["a pipe, not a file", "a folder, not a file", "a device, not a file", "Too many lev"]
    for line, name, reason in zip(lines[1:], names, reasons, strict=True):
        assert line.startswith(f"  - {tmp_path / name}: {reason}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_named(cache, tmp_path):
    (tmp_path / "a").write_text("")
    (tmp_path / "a").chmod(0)
    with pytest.raises(DatasetError, match="a: Permission denied: replace it by a file"):
        Digests(cache).of([str(tmp_path / "a")])
