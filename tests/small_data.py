"""A data set of eleven images in either format, and finished runs on it whose scripts are stubs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from dry_runs import DryRun, jobs_to_run
from PIL import Image
from seeds import SEED, TINY_YAML
from workflow_runs import TARGETS, snakemake, stub_project

from psa_core.networks.files import write_tensors

TRAIN = [f"t{i}" for i in range(8)]
VAL = ["v0", "v1", "v2"]  # two in one shard
SHARDS = 4


def write_image(run: Path, image: str, number: int) -> None:
    rng = np.random.default_rng(number + 1000 * SEED)
    pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(run / f"mine/images/{image}.png")


def write_mask(run: Path, image: str, value: int) -> None:
    mask = np.zeros((40, 48), np.uint8)
    mask[10:30, 12:40] = value
    Image.fromarray(mask).save(run / f"mine/masks/{image}.png")


def class_of(image: str) -> int:
    """1, cat, or 2, dog, by the image's number."""
    return 1 + int(image[1:]) % 2


def write_labels(run: Path, train: list[str], val: list[str], **other: str) -> None:
    """Each image shows its own class, but for `other`."""
    rows = ["image,labels,split"]
    for split, images in {"train": train, "val": val}.items():
        rows += [f"{i},{other.get(i, ('cat', 'dog')[class_of(i) - 1])},{split}" for i in images]
    (run / "mine/labels.csv").write_text("\n".join(rows) + "\n")


def add(run: Path, train: list[str], val: list[str]) -> None:
    """Write more images to the data set; they have no masks."""
    for number, image in enumerate(train + val, start=100):
        write_image(run, image, number)
    write_labels(run, TRAIN + train, VAL + val)


def write_folder(run: Path) -> dict:
    """Images, masks, labels and lists in run/mine; returns the section `dataset`."""
    for folder in ("images", "masks"):
        (run / "mine" / folder).mkdir(parents=True)
    for number, image in enumerate(TRAIN + VAL):
        write_image(run, image, number)
        write_mask(run, image, class_of(image))
    write_labels(run, TRAIN, VAL)
    rows = (run / "mine/labels.csv").read_text().splitlines()
    (run / "mine/unsplit.csv").write_text("\n".join(row.rpartition(",")[0] for row in rows))
    return {"format": "folder", "root": "mine", "shards": SHARDS}


def write_devkit(run: Path) -> dict:
    """The same as a devkit of VOC, run/devkit; cats are 8 in its masks, dogs 12."""
    (run / "devkit/ImageSets/Segmentation").mkdir(parents=True)
    (run / "devkit/Annotations").mkdir()
    shutil.copytree(run / "mine/images", run / "devkit/JPEGImages")
    shutil.copytree(run / "mine/masks", run / "devkit/SegmentationClass")
    for image in TRAIN + VAL:
        mask = run / f"devkit/SegmentationClass/{image}.png"
        Image.open(mask).point(lambda value: {1: 8, 2: 12}.get(value, 0)).save(mask)
        name = ("cat", "dog")[class_of(image) - 1]
        text = f"<annotation><object><name>{name}</name></object></annotation>"
        (run / f"devkit/Annotations/{image}.xml").write_text(text)
    lists = {"train": TRAIN, "val": VAL, "fewer_train": TRAIN[1:], "fewer_val": VAL[1:]}
    for name, images in lists.items():
        (run / f"devkit/ImageSets/Segmentation/{name}.txt").write_text("\n".join(images) + "\n")
    rows = [f"{i},cat;dog" for i in TRAIN + VAL]
    (run / "devkit/other.csv").write_text("\n".join(["image,labels", *rows]))
    (run / "devkit/decisions.csv").write_text("image,decision\nt3,reject\n")
    (run / "devkit/corrections").mkdir()
    shutil.copy(run / "mine/masks/t3.png", run / "devkit/corrections")
    others = {"train_aug": "train", "classes": ["cat", "dog"], "shards": SHARDS}
    return {"format": "voc", "root": "devkit", **others}


def write_networks(run: Path, classes: list[str]) -> None:
    """Networks without tensors for these classes in place of a run's stubs, as old as those."""
    networks = [f"{stage}/network" for stage in ("cam", "affinity", "segmentation")]
    for network in [*networks, "cam/prototypes"]:
        path = run / f"results/{network}.safetensors"
        times = path.stat()
        write_tensors(path, {}, {"classes": classes})
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


class Stubbed(NamedTuple):
    """A run in which stubs in place of the scripts have made everything, on the small data set.

    folder: of the run, with preset.yaml. project: the workflow with the stubs.
    """

    folder: Path
    project: Path

    def copy(self, folder: Path) -> Stubbed:
        """The same, in a folder to change."""
        return Stubbed(Path(shutil.copytree(self.folder, folder, symlinks=True)), self.project)

    def dry_run(
        self,
        *arguments: str,
        targets: tuple[str, ...] = tuple(TARGETS),
        folder: Path | None = None,
    ) -> DryRun:
        folder = folder or self.folder
        return DryRun(folder, folder / "preset.yaml", self.project, arguments, targets)

    def plan(self, *arguments: str, targets: tuple[str, ...] = tuple(TARGETS)) -> dict[str, int]:
        """Number of jobs of each rule that would run."""
        (jobs,) = jobs_to_run([self.dry_run(*arguments, targets=targets)])
        return jobs

    def make(
        self,
        *arguments: str,
        targets: tuple[str, ...] = tuple(TARGETS),
        folder: Path | None = None,
    ) -> str:
        """Run it; what it prints."""
        folder = folder or self.folder
        config = folder / "preset.yaml"
        return snakemake(folder, *arguments, "--", *targets, config=config, project=self.project)


def stubbed_run(base: Path, *, devkit: bool) -> Stubbed:
    """Make a finished run in base/folder or, as a devkit, in base/voc."""
    project = base / ("project_voc" if devkit else "project")
    run = Stubbed(base / ("voc" if devkit else "folder"), stub_project(project))
    dataset = write_folder(run.folder)
    if devkit:
        dataset = write_devkit(run.folder)
    config = {**yaml.safe_load(TINY_YAML.read_text()), "dataset": dataset}
    (run.folder / "preset.yaml").write_text(yaml.safe_dump(config))
    (run.folder / "start.pt").write_bytes(b"PK")  # as a file of torch begins
    run.make()
    return run
