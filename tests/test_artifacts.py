"""Files: whole or not at all, and what was written is what is read."""

import os
import tarfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from psa_core.errors import UserError
from psa_core.runtime import artifacts


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail():
        with artifacts.replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    with artifacts.replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.suffix == path.suffix  # writers choose a format by it
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def events(monkeypatch):
    """(what, inode of the file) in order: "flushed" to the disk, "named" as it is to be called."""
    events, replace = [], os.replace

    def named(source, target):
        events.append(("named", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", lambda file: events.append(("flushed", os.stat(file).st_ino)))
    monkeypatch.setattr(os, "replace", named)
    return events


def test_contents_are_on_the_disk_before_they_replace_others(events, tmp_path):
    """So a power cut leaves the old file or the new one, not an empty one."""
    with artifacts.replacing(tmp_path / "network") as temporary:
        temporary.write_text("new")
    inode = (tmp_path / "network").stat().st_ino
    folder = tmp_path.stat().st_ino
    assert events == [("flushed", inode), ("named", inode), ("flushed", folder)]


def test_files_are_on_the_disk_before_a_manifest_lists_them(events, tmp_path):
    for image in "abc":
        artifacts.write_array(tmp_path / f"{image}.npy", np.zeros(1))
    files = {(tmp_path / f"{image}.npy").stat().st_ino for image in "abc"}
    assert events == [("named", inode) for _, inode in events]  # each alone does not wait
    events.clear()
    artifacts.write_manifest(tmp_path / "train_aug_0.txt", f"{tmp_path}/{{}}.npy", "abc")
    assert set(events[:3]) == {("flushed", inode) for inode in files}
    assert [what for what, _ in events[3:]] == ["flushed", "named", "flushed"]


def test_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "plain").touch()
    artifacts.write_array(tmp_path / "array.npy", np.zeros(1))
    modes = [os.stat(tmp_path / name).st_mode for name in ("plain", "array.npy")]
    assert modes[0] == modes[1]


def test_palette_is_that_of_voc():
    """Colours from the development kit's masks: aeroplane, person, tv monitor, void."""
    colours = np.array(artifacts.VOC_PALETTE).reshape(256, 3).tolist()
    assert colours[0] == [0, 0, 0]
    assert colours[1] == [128, 0, 0]
    assert colours[15] == [192, 128, 128]
    assert colours[20] == [0, 64, 128]
    assert colours[255] == [224, 224, 192]


def test_label_map_keeps_indices_and_shows_colours(tmp_path):
    labels = np.array([[0, 1, 15], [255, 20, 7]], np.uint8)
    artifacts.write_label_map(tmp_path / "a.png", labels)
    read = artifacts.read_label_map(tmp_path / "a.png")
    np.testing.assert_array_equal(read, labels)
    assert read.dtype == np.uint8
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        assert image.convert("RGB").getpixel((2, 0)) == (192, 128, 128)


def test_grey_values_are_parts_of_255(tmp_path):
    artifacts.write_grey(tmp_path / "a.png", np.array([[0.0, 0.2, 1.0]]))
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.array(image), [[0, 51, 255]])


def test_grey_label_map_is_read_as_indices(tmp_path):
    Image.fromarray(np.array([[0, 3]], np.uint8)).save(tmp_path / "a.png")
    assert artifacts.read_label_map(tmp_path / "a.png").tolist() == [[0, 3]]


def test_coloured_label_map_is_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a.png: not a readable label map \(mode RGB"):
        artifacts.read_label_map(tmp_path / "a.png")


def test_array_comes_back_in_half_precision(tmp_path, rng):
    array = rng.random((2, 3, 4))
    artifacts.write_array(tmp_path / "a.npy", array)
    read = artifacts.read_array(tmp_path / "a.npy", 2)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, array, rtol=2**-11)
    assert (tmp_path / "a.npy").stat().st_size < 128 + 2 * array.size + 64


@pytest.mark.parametrize("kept", [0, 20, -5])
def test_broken_array_is_named(tmp_path, kept):
    path = tmp_path / "broken.npy"
    artifacts.write_array(path, np.zeros((3, 4)))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"broken.npy: not a readable .npy"):
        artifacts.read_array(path, 3)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 2, 2)), r"shape \(3, 2, 2\), expected \[2, h, w\]; delete it"),
        (np.zeros((2, 4)), r"shape \(2, 4\), expected \[2, h, w\]; delete it"),
        (np.full((2, 1, 1), np.nan), "holds a value that is not finite; delete it"),
        (np.full((2, 1, 1), np.inf), "holds a value that is not finite; delete it"),
    ],
)
def test_an_edited_array_is_named(tmp_path, array, message):
    artifacts.write_array(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=rf"a\.npy: {message}"):
        artifacts.read_array(tmp_path / "a.npy", 2)


def test_an_array_whose_header_promises_too_much_is_named(tmp_path):
    artifacts.write_array(tmp_path / "a.npy", np.zeros((1, 1, 1)))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"(1, 1, 1)", b"(1,9**9,)"[:9]))
    with pytest.raises(UserError, match=r"a\.npy: not a readable \.npy array"):
        artifacts.read_array(tmp_path / "a.npy", 1)
    (tmp_path / "a.npy").write_bytes(content.replace(b"(1, 1, 1), }", b"(1,99999,9)}"))
    with pytest.raises(UserError, match=r"a\.npy: not a readable \.npy array"):
        artifacts.read_array(tmp_path / "a.npy", 1)


def test_an_edited_label_map_is_named(tmp_path):
    artifacts.write_label_map(tmp_path / "a.png", np.array([[0, 3, 255]]))
    assert artifacts.read_label_map(tmp_path / "a.png", (1, 3), 3).shape == (1, 3)
    with pytest.raises(UserError, match=r"a\.png: 3 x 1 pixels, expected 1 x 3; delete it"):
        artifacts.read_label_map(tmp_path / "a.png", (3, 1))
    with pytest.raises(UserError, match=r"a\.png: class index 3, there are 2 classes; delete it"):
        artifacts.read_label_map(tmp_path / "a.png", classes=2)


def test_array_of_objects_is_not_unpickled(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], object))
    with pytest.raises(ValueError, match=r"objects.npy"):
        artifacts.read_array(tmp_path / "objects.npy", 1)


def test_edges_of_several_images(tmp_path, rng):
    edges = {
        name: rng.random((34, *size)).astype(np.float16)
        for name, size in {"2007_000032": (4, 6), "b.c": (1, 1)}.items()
    }
    edges["2007_000032"][0, :, -1] = np.nan
    artifacts.write_edges(tmp_path / "edges.h5", edges.items())
    for name, expected in edges.items():
        read = artifacts.read_edges(tmp_path / "edges.h5", name)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, expected.astype(np.float32))


@pytest.mark.parametrize("edges", [np.full((34, 2, 2), 1.5), np.full((34, 2, 2), -1), np.ones(3)])
def test_edited_edges_are_named(tmp_path, edges):
    artifacts.write_edges(tmp_path / "edges.h5", [("a", edges)])
    with pytest.raises(UserError, match=r"edges\.h5: the edges of a are no affinities in \[0, 1\]"):
        artifacts.read_edges(tmp_path / "edges.h5", "a")


def test_nan_among_edges_is_named(tmp_path):
    edges = np.full((2, 3, 4), 0.5, np.float16)
    edges[0, :, 3] = edges[1, 2] = edges[1, :, 0] = np.nan  # right, below and left of the map
    artifacts.write_edges(tmp_path / "edges.h5", [("a", edges)])
    np.testing.assert_array_equal(artifacts.read_edges(tmp_path / "edges.h5", "a"), edges)
    edges[1, 1, 2] = np.nan
    artifacts.write_edges(tmp_path / "edges.h5", [("a", edges)])
    with pytest.raises(UserError, match=r"edges\.h5: the edges of a have NaN inside the map; del"):
        artifacts.read_edges(tmp_path / "edges.h5", "a")


def test_interrupted_edges_leave_nothing(tmp_path):
    def images():
        yield "a", np.zeros((34, 2, 2), np.float16)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        artifacts.write_edges(tmp_path / "edges.h5", images())
    assert list(tmp_path.iterdir()) == []


def test_manifest_is_what_sha256sum_checks(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"")
    (tmp_path / "b.c.npy").write_bytes(b"abc")
    pattern = f"{tmp_path}/{{}}.npy"
    artifacts.write_manifest(tmp_path / "0.txt", pattern, ["a", "b.c"])
    # FIPS 180-2, appendix B.1, for "abc"; the digest of nothing is as well known.
    assert (tmp_path / "0.txt").read_text().splitlines() == [
        "# 2 files, CRC-32 975c62d0",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a.npy",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b.c.npy",
    ]


def test_a_manifest_of_no_files(tmp_path):
    artifacts.write_manifest(tmp_path / "0.txt", f"{tmp_path}/{{}}.npy", [])
    assert (tmp_path / "0.txt").read_text() == "# 0 files, CRC-32 00000000\n"
    assert artifacts.listed_images([tmp_path / "0.txt"]) == set()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: bytes(len(content)),
        lambda content: content[: content.index(b"\n", 20) + 1],  # after a whole line
        lambda content: content.replace(b"e3b0", b"e3b1", 1),
        lambda content: content.replace(b"a.npy", b"c.npy"),
        lambda content: content.replace(b"  ", b" "),
        lambda content: b"\xff" + content,
    ],
    ids=["empty", "zeros", "cut", "digest", "name", "blanks", "not UTF-8"],
)
def test_a_damaged_manifest_is_named(tmp_path, damage):
    for image in "ab":
        (tmp_path / f"{image}.npy").touch()
    artifacts.write_manifest(tmp_path / "0.txt", f"{tmp_path}/{{}}.npy", "ab")
    (tmp_path / "0.txt").write_bytes(damage((tmp_path / "0.txt").read_bytes()))
    with pytest.raises(UserError, match=r"0\.txt: not a readable list of files: delete it"):
        artifacts.listed_images([tmp_path / "0.txt"])


def test_a_manifest_is_not_written_where_a_file_is_missing(tmp_path):
    (tmp_path / "a.npy").touch()
    with pytest.raises(FileNotFoundError, match=r"b\.npy"):
        artifacts.write_manifest(tmp_path / "0.txt", f"{tmp_path}/{{}}.npy", ["a", "b"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_images_of_manifests_are_listed(tmp_path):
    odd = "été  2\u2028.v2"
    shards = {"train_aug_0": ["a", odd], "val_0": ["b"], "val_1": []}
    for image in "a", odd, "b":
        (tmp_path / f"{image}.png").touch()
    for shard, images in shards.items():
        artifacts.write_manifest(tmp_path / f"{shard}.txt", f"{tmp_path}/{{}}.png", images)
    paths = [tmp_path / f"{shard}.txt" for shard in shards]
    assert artifacts.listed_images([*paths, tmp_path / "b.png", str(tmp_path)]) == {
        *("a", odd, "b")
    }
    assert artifacts.listed_images(map(str, paths[:1])) == {"a", odd}
    assert artifacts.listed_images([]) == set()


def test_a_job_for_one_image_makes_no_manifest(tmp_path):
    artifacts.write_array(tmp_path / "a.npy", np.zeros(1))
    artifacts.write_manifest(None, f"{tmp_path}/{{}}.npy", ["a"])
    assert list(tmp_path.iterdir()) == [tmp_path / "a.npy"]


def test_lines_come_back(tmp_path):
    lines = ["polar bear", "été", "日本"]
    artifacts.write_lines(tmp_path / "new/classes.txt", lines)
    assert (tmp_path / "new/classes.txt").read_bytes() == "\n".join([*lines, ""]).encode()
    assert artifacts.read_lines(tmp_path / "new/classes.txt") == lines
    artifacts.write_lines(tmp_path / "none.txt", [])
    assert artifacts.read_lines(tmp_path / "none.txt") == []


def test_archive_of_equal_files_has_equal_bytes(tmp_path):
    for name, text in (("b/2.png", "two"), ("a.png", "one")):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(text)
    files = [tmp_path / "in/b/2.png", tmp_path / "in/a.png"]
    artifacts.write_archive(tmp_path / "1.tar.gz", files, folder=tmp_path / "in")
    os.utime(files[0], (0, 0))
    os.chmod(files[1], 0o600)
    artifacts.write_archive(tmp_path / "2.tar.gz", files[::-1], folder=tmp_path / "in")
    assert (tmp_path / "1.tar.gz").read_bytes() == (tmp_path / "2.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "1.tar.gz", "r:gz") as archive:
        assert archive.getnames() == ["a.png", "b/2.png"]
        assert archive.extractfile("b/2.png").read() == b"two"


def test_table(tmp_path):
    artifacts.write_table(tmp_path / "t.csv", pd.DataFrame({"class": ["cat"], "iou": [100 / 3]}))
    assert (tmp_path / "t.csv").read_text() == "class,iou\ncat,33.3333\n"


def test_a_class_may_be_called_none(tmp_path):
    table = pd.DataFrame({"class": ["None", "NA", "cat"], "iou": [1.0, np.nan, 3.0]})
    artifacts.write_table(tmp_path / "scores.csv", table)
    pd.testing.assert_frame_equal(artifacts.read_table(tmp_path / "scores.csv"), table)


@pytest.mark.parametrize(
    "content", [b"", b"class,iou\n\xff,1\n", b"class,iou\na,1,2,3\nb,1\nc,1,2,3,4"]
)
def test_a_damaged_table_is_named(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"t\.csv: not a readable table .*; delete it"):
        artifacts.read_table(tmp_path / "t.csv")


def test_edges_that_a_killed_process_left_are_removed(tmp_path, rng):
    left, other = tmp_path / ".edges_1.abcdefg_.h5", tmp_path / ".edges_10.abcdefg_.h5"
    left.touch()
    other.touch()
    artifacts.write_edges(tmp_path / "edges_1.h5", [("a", rng.random((2, 3, 4)))])
    assert {path.name for path in tmp_path.iterdir()} == {other.name, "edges_1.h5"}
