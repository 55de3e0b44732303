"""VOC 2012 and SBD from a server on this machine: whole, broken, wrong, and without resuming."""

import hashlib
import io
import subprocess
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from scipy.io import savemat
from test_workflow import ROOT, SNAKEMAKE
from torchvision.datasets import SBDataset
from torchvision.datasets.voc import DATASET_YEAR_DICT

from psa_core import datasets
from psa_core.artifacts import read_label_map
from psa_core.datasets import DatasetError, index, sbd
from psa_core.datasets.download import DownloadError, extract, fetch

DATA = np.random.default_rng(0).bytes(3 * 2**20 + 5)


class Server(ThreadingHTTPServer):
    """Serves `files`; `breaks` holds after how many bytes of each coming answer it hangs up."""

    def __init__(self, files, *, breaks=(), has_ranges=True, status=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.breaks, self.has_ranges = files, list(breaks), has_ranges
        self.status = status
        self.ranges = []  # the Range header of each request, or None

    def url(self, name="file.bin"):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, content = self.server, self.server.files[self.path[1:]]
        asked = self.headers["Range"]
        server.ranges.append(asked)
        if server.status:
            return self.send_error(server.status)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if not server.has_ranges:
            start = 0
        if start and start >= len(content):
            self.send_response(416)
            self.end_headers()
            return None
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + server.breaks.pop(0) if server.breaks else None
        self.wfile.write(content[start:end])
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    """Start servers; they end with the test."""
    servers = []

    def start(files=None, **options):
        servers.append(Server(files or {"file.bin": DATA}, **options))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def md5(content):
    return hashlib.md5(content).hexdigest()


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
    with pytest.raises(DownloadError, match=r"2 times in vain \(closed after 500 of .*1500 bytes"):
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
    with pytest.raises(DownloadError, match=r"3 times in vain \(HTTP Error 503"):
        fetch(server.url(), tmp_path / "file.bin", md5(DATA), tries=3, wait=0)
    assert len(server.ranges) == 3


def test_no_server(tmp_path):
    with pytest.raises(DownloadError, match=r"2 times in vain .*refused"):
        fetch("http://127.0.0.1:1/file.bin", tmp_path / "file.bin", md5(DATA), tries=2, wait=0)


# --- archives -------------------------------------------------------------------------------------


def packed(files, mode="w"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


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
        (packed({"kat/a": b"x"}), r"kit.tar: holds no kit"),
    ],
)
def test_hostile_and_broken_archives_are_refused(tmp_path, content, message):
    (tmp_path / "kit.tar").write_bytes(content)
    with pytest.raises(DownloadError, match=message):
        extract(tmp_path / "kit.tar", tmp_path / "out", below="kit")
    assert not (tmp_path / "evil").exists()


def matlab(mask):
    """One of SBD's cls/*.mat: a struct with the mask, boundaries and the classes present."""
    buffer = io.BytesIO()
    savemat(buffer, {"GTcls": {"Boundaries": np.zeros((20, 1)), "Segmentation": mask}})
    return buffer.getvalue()


def test_mask_of_sbd():
    mask = np.array([[0, 20], [3, 0], [8, 8]], np.uint8)
    read = sbd.read_mask(matlab(mask), "a.mat")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, mask)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no MATLAB file " * 30,
        matlab(np.array([[21]], np.uint8)),
        matlab(np.array([[1]], np.int32)),
    ],
)
def test_other_content_than_sbds_is_named(content):
    with pytest.raises(DownloadError, match=r"a\.mat: .*use (its|SBD's) archive"):
        sbd.read_mask(content, "a.mat")


def test_training_images_are_all_but_vocs_val():
    assert sbd.training_images(["c", "a", "v"], ["v"], ["v", "b", "a"]) == ["a", "b", "c"]


def test_counts_and_lists_that_contradict_are_named():
    lists = {"train_aug": ["a", "b"], "train": ["a"], "val": ["v"]}
    sbd.check_counts(lists, {"train_aug": 2, "train": 1, "val": 1})
    sbd.check_counts(lists, None)
    with pytest.raises(DatasetError, match=r"train_aug: 2 images, expected 10582; val: 1 images, "):
        sbd.check_counts(lists, {"train_aug": 10582, "train": 1, "val": 1449})
    with pytest.raises(DatasetError, match=r"1 images are not in train_aug, z first"):
        sbd.check_counts({**lists, "train": ["a", "z"]}, None)


# --- the workflow ---------------------------------------------------------------------------------


def test_addresses_and_sums_are_torchvisions():
    config = yaml.safe_load((ROOT / "config/download.yaml").read_text())
    voc = DATASET_YEAR_DICT["2012"]
    assert config["voc"] == {"url": voc["url"], "md5": voc["md5"]}
    assert config["sbd"] == {"url": SBDataset.url, "md5": SBDataset.md5}
    assert config["counts"] == {"train_aug": 10582, "train": 1464, "val": 1449}


def encoded(array, suffix):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, suffix)
    return buffer.getvalue()


ANNOTATION = "<annotation><object><name>cat</name></object></annotation>"
MASKS = {"t": 8, "v": 8}  # of VOC, train and val
SBD = {"train": ["s1", "v"], "val": ["s2", "t"]}  # two images of VOC's are among them


@pytest.fixture
def archives():
    """VOC: train t, val v. SBD: t, v and two more, s1 and s2; all are cats, SBD's v is a dog."""
    kit = "VOCdevkit/VOC2012"
    images = {i: np.full((40, 48, 3), 90, np.uint8) for i in ("t", "v", "s1", "s2", "other")}
    voc = {f"{kit}/JPEGImages/{i}.jpg": encoded(image, "JPEG") for i, image in images.items()}
    voc |= {f"{kit}/Annotations/{i}.xml": ANNOTATION.encode() for i in images}
    for image, value in MASKS.items():
        mask = encoded(np.full((40, 48), value, np.uint8), "PNG")
        voc[f"{kit}/SegmentationClass/{image}.png"] = mask
    lists = {"train": "t\n", "val": "v\n", "trainval": "t\nv\n"}
    voc |= {f"{kit}/ImageSets/Segmentation/{k}.txt": v.encode() for k, v in lists.items()}
    inside = "benchmark_RELEASE/dataset"
    of_sbd = {f"{inside}/{k}.txt": "\n".join(ids).encode() for k, ids in SBD.items()}
    for value, image in enumerate(("t", "v", "s1", "s2"), start=9):
        mask = np.full((40, 48), value, np.uint8)
        of_sbd[f"{inside}/cls/{image}.mat"] = matlab(mask)
        of_sbd[f"{inside}/img/{image}.jpg"] = encoded(images[image], "JPEG")
    return {"voc.tar": packed(voc), "benchmark.tgz": packed(of_sbd, "w:gz")}


def download(folder: Path, server: Server, **changes) -> subprocess.CompletedProcess:
    """Run workflow/download.smk as `make voc12` does, with the server's archives."""
    config = {
        "root": str(folder / "VOC2012"),
        "voc": {"url": server.url("voc.tar"), "md5": md5(server.files["voc.tar"])},
        "sbd": {"url": server.url("benchmark.tgz"), "md5": md5(server.files["benchmark.tgz"])},
        "counts": {"train_aug": 3, "train": 1, "val": 1},
        **changes,
    }
    (folder / "download.yaml").write_text(yaml.safe_dump(config))
    command = [SNAKEMAKE[0], "--snakefile", str(ROOT / "workflow/download.smk"), "--cores", "2"]
    command += ["--directory", str(folder), "--configfile", str(folder / "download.yaml")]
    command += ["--workflow-profile", str(ROOT / "profiles/default")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_voc_2012_with_sbd(serve, tmp_path, archives):
    server = serve(archives, breaks=[500])  # of whichever archive comes first
    done = download(tmp_path, server)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(server.ranges, key=str) == [None, None, "bytes=500-"]
    root = tmp_path / "VOC2012"
    dataset = {"format": "voc", "root": str(root), "classes": ["cat"], "others": "background"}
    images, scored, *_ = datasets.read_lists(dataset)
    assert images == {"train_aug": ["s1", "s2", "t"], "train": ["t"], "val": ["v"], "test": []}
    assert scored == {"train_aug": ["s1", "s2", "t"], "train": ["t"], "val": ["v"]}
    masks = {path.stem: path for path in (root / "SegmentationClassAug").iterdir()}
    assert sorted(masks) == ["s1", "s2"]  # VOC's own masks are kept: train t, val v
    assert np.unique(read_label_map(masks["s1"])).tolist() == [11]
    table, _ = index.prepare(dataset)
    assert [path.split("/")[-2:] for path in table["mask"]] == [
        ["SegmentationClassAug", "s1.png"],
        ["SegmentationClassAug", "s2.png"],
        ["SegmentationClass", "t.png"],
        ["SegmentationClass", "v.png"],
    ]
    requests = len(server.ranges)
    assert "Nothing to be done" in download(tmp_path, server).stderr
    for archive in (root / "download").glob("*.t*"):
        archive.unlink()  # the archives are not needed any more
    moved = {"voc": {"url": "http://mirror.invalid/", "md5": md5(archives["voc.tar"])}}
    assert "Nothing to be done" in download(tmp_path, server, **moved).stderr
    assert len(server.ranges) == requests


def test_a_wrong_checksum_stops_the_workflow(serve, tmp_path, archives):
    server = serve(archives)
    wrong = {"url": server.url("voc.tar"), "md5": "1" * 32}
    done = download(tmp_path, server, voc=wrong)
    assert done.returncode != 0
    message = f"with MD5 {md5(archives['voc.tar'])}, expected {'1' * 32}: removed; start again"
    assert message in done.stdout + done.stderr
    assert not (tmp_path / "VOC2012/JPEGImages").exists()


def test_unexpected_counts_stop_the_workflow(serve, tmp_path, archives):
    real = yaml.safe_load((ROOT / "config/download.yaml").read_text())["counts"]
    done = download(tmp_path, serve(archives), counts=real)
    assert done.returncode != 0
    assert "train_aug: 3 images, expected 10582" in done.stdout + done.stderr
    assert not (tmp_path / "VOC2012/ImageSets/Segmentation/train_aug.txt").exists()


def test_a_killed_download_goes_on_in_the_next_run(serve, tmp_path, archives):
    """Snakemake removes the declared output of a failed job; what arrived is kept beside it."""
    first = serve(archives, status=404)
    part = tmp_path / "VOC2012/download/VOCtrainval_11-May-2012.tar.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(archives["voc.tar"][:3000])
    assert download(tmp_path, first).returncode != 0
    assert part.read_bytes() == archives["voc.tar"][:3000]
    second = serve(archives)
    done = download(tmp_path, second)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(second.ranges, key=str) == [None, "bytes=3000-"]


def test_archives_that_are_there_are_taken(serve, tmp_path, archives):
    server = serve(archives, status=404)
    for name, archive in (
        ("VOCtrainval_11-May-2012.tar", "voc.tar"),
        ("benchmark.tgz", "benchmark.tgz"),
    ):
        path = tmp_path / "VOC2012/download" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archives[archive])
    assert download(tmp_path, server).returncode == 0
    assert server.ranges == []
    lists = tmp_path / "VOC2012/ImageSets/Segmentation"
    assert (lists / "train_aug.txt").read_text() == "s1\ns2\nt\n"


def test_a_devkit_that_is_there_gets_the_masks_of_sbd(serve, tmp_path, archives):
    """Its VOC archive is not downloaded, and nothing of it is removed."""
    (tmp_path / "voc.tar").write_bytes(archives["voc.tar"])
    extract(tmp_path / "voc.tar", tmp_path / "VOC2012", below="VOCdevkit/VOC2012")
    own = tmp_path / "VOC2012/SegmentationClassAug/mine.png"
    own.parent.mkdir()
    own.write_text("kept")
    server = serve(archives)
    assert download(tmp_path, server).returncode == 0
    assert server.ranges == [None]
    assert own.read_text() == "kept"
    lists = tmp_path / "VOC2012/ImageSets/Segmentation"
    assert (lists / "train_aug.txt").read_text() == "s1\ns2\nt\n"
