"""Downloads from a server on this machine, and archives; broken, wrong and hostile ones, too."""

import io
import tarfile

import numpy as np
import pytest
from download_server import md5, packed, servers

from psa_core.datasets.convert.download import DownloadError, extract, fetch

DATA = np.random.default_rng(0).bytes(3 * 2**20 + 5)


@pytest.fixture
def serve():
    with servers({"file.bin": DATA}) as start:
        yield start


# --- one file -------------------------------------------------------------------------------------


def test_download(serve, tmp_path):
    server = serve()
    fetch(server.url(), tmp_path / "new/file.bin", md5(DATA).upper())
    assert (tmp_path / "new/file.bin").read_bytes() == DATA
    assert server.ranges == [None]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.bin"]


def test_broken_transfers_go_on_where_they_ended(serve, tmp_path):
    server = serve(breaks=[2**20 + 3, 0, 7])
    fetch(server.url(), tmp_path / "file.bin", md5(DATA), wait=0)
    assert (tmp_path / "file.bin").read_bytes() == DATA
    first, second = f"bytes={2**20 + 3}-", f"bytes={2**20 + 10}-"
    assert server.ranges == [None, first, first, second]


def test_the_next_run_goes_on_from_the_part(serve, tmp_path):
    server = serve(breaks=[1000, 500])
    with pytest.raises(DownloadError, match=r"after 2 attempts \(closed after 500 of .*1500 bytes"):
        fetch(server.url(), tmp_path / "file.bin", md5(DATA), tries=2, wait=0)
    assert (tmp_path / "file.bin.part").read_bytes() == DATA[:1500]
    assert not (tmp_path / "file.bin").exists()
    fetch(server.url(), tmp_path / "file.bin", md5(DATA))
    assert server.ranges[-1] == "bytes=1500-"
    assert (tmp_path / "file.bin").read_bytes() == DATA
    assert not (tmp_path / "file.bin.part").exists()


def test_a_server_without_ranges_sends_all_again(serve, tmp_path):
    server = serve(has_ranges=False, breaks=[2**20])
    fetch(server.url(), tmp_path / "file.bin", md5(DATA), wait=0)
    assert server.ranges == [None, f"bytes={2**20}-"]
    assert (tmp_path / "file.bin").read_bytes() == DATA


def test_a_whole_part_is_only_checked(serve, tmp_path):
    """A run that was killed between the last byte and the renaming: the server answers 416."""
    server = serve()
    (tmp_path / "file.bin.part").write_bytes(DATA)
    fetch(server.url(), tmp_path / "file.bin", md5(DATA))
    assert server.ranges == [f"bytes={len(DATA)}-"]
    assert (tmp_path / "file.bin").read_bytes() == DATA


@pytest.mark.parametrize("there", [b"", b"of another file", DATA + b"more"])
def test_wrong_checksum_names_all_and_leaves_nothing(serve, tmp_path, there):
    server = serve()
    (tmp_path / "file.bin.part").write_bytes(there)
    expected = "0" * 32 if there == b"" else md5(DATA)
    arrived = there + DATA[len(there) :]
    with pytest.raises(DownloadError) as error:
        fetch(server.url(), tmp_path / "file.bin", expected)
    for part in (server.url(), md5(arrived), expected, "start again", "mirror"):
        assert part in str(error.value)
    assert list(tmp_path.iterdir()) == []
    fetch(server.url(), tmp_path / "file.bin", md5(DATA))
    assert (tmp_path / "file.bin").read_bytes() == DATA


def test_a_refusal_is_not_asked_again(serve, tmp_path):
    server = serve(status=404)
    with pytest.raises(DownloadError, match=r"file.bin: HTTP Error 404: Not Found: correct it"):
        fetch(server.url(), tmp_path / "file.bin", md5(DATA), wait=0)
    assert len(server.ranges) == 1


def test_a_server_out_of_order_is_asked_again(serve, tmp_path):
    server = serve(status=503)
    with pytest.raises(DownloadError, match=r"failed after 3 attempts \(HTTP Error 503"):
        fetch(server.url(), tmp_path / "file.bin", md5(DATA), tries=3, wait=0)
    assert len(server.ranges) == 3


def test_no_server(tmp_path):
    with pytest.raises(DownloadError, match=r"failed after 2 attempts .*refused"):
        fetch("http://127.0.0.1:1/file.bin", tmp_path / "file.bin", md5(DATA), tries=2, wait=0)


# --- archives -------------------------------------------------------------------------------------


def packed_link(target):
    """An archive of a link to another place, and a file behind that link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("kit/link")
        link.type, link.linkname = tarfile.SYMTYPE, target
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("kit/link/evil"))
    return buffer.getvalue()


def test_archive_is_unpacked_below_a_folder(tmp_path):
    files = {"kit/2012/a/1.txt": b"one", "kit/2012/2.txt": b"two", "kit/README": b"", "b": b""}
    (tmp_path / "kit.tar").write_bytes(packed(files))
    extract(tmp_path / "kit.tar", tmp_path / "out", below="kit/2012")
    found = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*")}
    assert found == {"a", "a/1.txt", "2.txt"}
    assert (tmp_path / "out/a/1.txt").read_bytes() == b"one"
    # Members say 1970; an output older than its archive would be made again each time.
    assert (tmp_path / "out/2.txt").stat().st_mtime >= (tmp_path / "kit.tar").stat().st_mtime - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (packed({"kit/../../evil": b"x"}), r"kit.tar: cannot be unpacked .*outside"),
        (packed_link(".."), r"kit.tar: cannot be unpacked .*kit/link is neither a file nor"),
        (packed({"kit/a": b"x" * 5000})[:3000], r"kit.tar: cannot be unpacked .*remove it"),
        (b"<html>not found</html>", r"kit.tar: cannot be unpacked .*remove it"),
        (packed({"kat/a": b"x"}), r"kit.tar: no kit in this archive"),
    ],
)
def test_hostile_and_broken_archives_are_refused(tmp_path, content, message):
    (tmp_path / "kit.tar").write_bytes(content)
    with pytest.raises(DownloadError, match=message):
        extract(tmp_path / "kit.tar", tmp_path / "out", below="kit")
    assert not (tmp_path / "evil").exists()
