"""VOC 2012 and SBD: masks, lists, and workflow/download.smk with a server on this machine."""

import io
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from datasets_on_disk import inventory
from download_server import Server, md5, packed, servers
from PIL import Image
from scipy.io import savemat
from seeds import ROOT
from torchvision.datasets import SBDataset
from torchvision.datasets.voc import DATASET_YEAR_DICT
from workflow_runs import PROFILE, SNAKEMAKE

from psa_core.datasets import index
from psa_core.datasets.convert import sbd
from psa_core.datasets.convert.download import DownloadError, extract
from psa_core.datasets.formats.source import DatasetError
from psa_core.runtime.artifacts import read_label_map


@pytest.fixture
def serve():
    with servers({}) as start:
        yield start


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
    command += PROFILE
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_voc_2012_with_sbd(serve, tmp_path, archives):
    server = serve(archives, breaks=[500])  # of whichever archive comes first
    done = download(tmp_path, server)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(server.ranges, key=str) == [None, None, "bytes=500-"]
    root = tmp_path / "VOC2012"
    dataset = {"format": "voc", "root": str(root), "classes": ["cat"], "shards": 1}
    data = inventory(dataset)
    training = ["s1", "s2", "t"]
    assert data.images == {"train_aug": training, "train": ["t"], "val": ["v"], "test": []}
    assert data.scored == {"train_aug": training, "train": ["t"], "val": ["v"]}
    assert index.describe_images(dataset, [*training, "v"])["labels"].tolist() == ["cat"] * 4
    masks = {path.stem: path for path in (root / "SegmentationClassAug").iterdir()}
    assert sorted(masks) == ["s1", "s2"]  # VOC's own masks are kept: train t, val v
    assert np.unique(read_label_map(masks["s1"])).tolist() == [11]
    shown = {image: np.unique(mask).tolist() for image, mask in index.read_masks(dataset, [*"tv"])}
    assert shown == {"t": [1], "v": [1]}  # cat, 8 in VOC's masks; SBD's have other values
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
