"""What planning costs for a large data set: `python benchmarks/scale.py FOLDER`.

A VOC devkit of small images goes through a copy of the workflow in which stubs replace all scripts
(tests/workflow_runs.py). Prints seconds of wall time and of processor time. The defaults are the
numbers of images of VOC 2012 with SBD; those of COCO 2017 are `--train 118287 --val 5000`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from psa_core.datasets.formats.voc import CLASSES

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from workflow_runs import BIN, jobs_of, stub_project  # noqa: E402

STAGES = ("cam", "affinity", "segmentation")


def make_devkit(root: Path, train: int, val: int) -> None:
    """Write a devkit in which each image has a mask and an annotation; a seventh is in `train`."""
    names = {
        "train_aug": [f"2008_{i:06}" for i in range(train)],
        "train": [f"2008_{i:06}" for i in range(-(-train // 7))],  # VOC's share
        "val": [f"2009_{i:06}" for i in range(val)],
    }
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    objects = "".join(f"<object><name>{name}</name></object>" for name in CLASSES)
    write = {
        "JPEGImages/{}.jpg": lambda path: Image.fromarray(noise).save(path),
        "SegmentationClassAug/{}.png": lambda path: Image.fromarray(noise[..., 0] % 20).save(path),
        "Annotations/{}.xml": lambda path: path.write_text(f"<annotation>{objects}</annotation>"),
    }
    first, *others = names["train_aug"] + names["val"]
    for pattern, write_first in write.items():
        path = root / pattern.format(first)
        path.parent.mkdir(parents=True)
        write_first(path)
        content = path.read_bytes()
        for name in others:
            (root / pattern.format(name)).write_bytes(content)
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for key, images in names.items():
        (lists / f"{key}.txt").write_text("\n".join(images) + "\n")


def write_config(path: Path) -> None:
    """Networks without files of weights, and the devkit in the folder of the run."""
    random = {stage: {"network": {"weights": "random"}} for stage in STAGES}
    path.write_text(yaml.safe_dump({**random, "dataset": {"root": "VOC2012"}}))


def timed(what: str, folder: Path, *arguments: str, in_process: bool = False) -> None:
    """Run Snakemake in the folder and print what it cost. Raises RuntimeError where it fails."""
    here = [sys.executable, str(ROOT / "tests/in_process.py")]
    command = [*(here if in_process else [str(BIN / "snakemake")]), "--cores", "2", *arguments]
    command += ["--configfile", "config/voc12_resnet50.yaml", "config/scale.yaml"]
    environment = os.environ | {"PYTHONPATH": str(folder)}  # psa_core is the copy
    start, before = time.perf_counter(), os.times()
    done = subprocess.run(
        [*command, "--", "results/metrics.csv"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds, after = time.perf_counter() - start, os.times()
    printed = done.stdout + done.stderr
    if done.returncode:
        raise RuntimeError(printed[-3000:])
    core = after.children_user + after.children_system
    core -= before.children_user + before.children_system
    jobs = sum(jobs_of(printed).values())
    print(f"| {what} | {jobs} | {seconds:.1f} | {core:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a new folder for the devkit and the runs")
    parser.add_argument("--train", type=int, default=10_582, help="training images")
    parser.add_argument("--val", type=int, default=1_449, help="validation images")
    parser.add_argument("--run", action="store_true", help="start a process for each stub")
    options = parser.parse_args()
    folder = options.folder.resolve()
    stub_project(folder)
    make_devkit(folder / "VOC2012", options.train, options.val)
    write_config(folder / "config/scale.yaml")
    print(f"{options.train} + {options.val} images\n")
    print("| | jobs | wall, s | processor, s |\n|---|---|---|---|", flush=True)
    timed("plan, each file new", folder, "--dry-run")
    timed("plan, digests known", folder, "--dry-run")
    if options.run:
        timed("run of stubs", folder)
    else:
        timed("run of stubs in Snakemake's process", folder, in_process=True)
    timed("plan, all finished", folder, "--dry-run")
    for file in (folder / "VOC2012").rglob("*.*"):
        file.touch()
    timed("plan, each file touched", folder, "--dry-run")
    size = sum(f.stat().st_size for f in (folder / ".snakemake").rglob("*") if f.is_file())
    print(f"\n.snakemake: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
