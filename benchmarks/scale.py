"""What Snakemake costs at the size of VOC 2012 with SBD: `python benchmarks/scale.py FOLDER`.

A devkit of 10,582 + 1,449 small images goes through a copy of the workflow whose scripts, but for
the one that checks the data set, write files of a byte. Prints seconds of planning and running.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from psa_core.datasets.voc import CLASSES

ROOT = Path(__file__).parents[1]
TRAIN = [f"2008_{i:06}" for i in range(10_582)]
VAL = [f"2009_{i:06}" for i in range(1_449)]
STUB = """
from pathlib import Path

for output in map(Path, snakemake.output):
    files = []
    for pattern in snakemake.params:
        if isinstance(pattern, str) and "{}" in pattern and Path(pattern).parent == output.parent:
            files += [Path(pattern.format(image)) for image in snakemake.params.images]
    for file in files:
        file.write_bytes(b"0")
    output.write_text("".join(f"0  {file.name}\\n" for file in files))
"""


def make_devkit(root: Path) -> None:
    """Names and lists of VOC's numbers; each image, mask and annotation is a small file."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    objects = "".join(f"<object><name>{name}</name></object>" for name in CLASSES)
    write = {
        "JPEGImages/{}.jpg": lambda path: Image.fromarray(noise).save(path),
        "SegmentationClassAug/{}.png": lambda path: Image.fromarray(noise[..., 0] % 20).save(path),
        "Annotations/{}.xml": lambda path: path.write_text(f"<annotation>{objects}</annotation>"),
    }
    for pattern, write_first in write.items():
        first = root / pattern.format(TRAIN[0])
        first.parent.mkdir(parents=True)
        write_first(first)
        for name in [*TRAIN[1:], *VAL]:
            shutil.copyfile(first, root / pattern.format(name))
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for key, names in {"train_aug": TRAIN, "train": TRAIN[:1464], "val": VAL}.items():
        (lists / f"{key}.txt").write_text("\n".join(names) + "\n")


def copy_workflow(folder: Path) -> None:
    """The workflow without its work."""
    for part in ("psa_core", "workflow", "config", "profiles"):
        shutil.copytree(ROOT / part, folder / part)
    shutil.copy(ROOT / "Snakefile", folder)
    for script in (folder / "workflow/scripts").glob("*.py"):
        if script.stem != "prepare_dataset":
            script.write_text(STUB)


def timed(what: str, folder: Path, *arguments: str) -> None:
    command = [Path(sys.executable).parent / "snakemake", "--cores", "2", *arguments]
    command += ["--configfile", "config/voc12_resnet50.yaml", "config/scale.yaml"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    start, before = time.perf_counter(), os.times()
    done = subprocess.run(
        [*command, "--", "results/metrics.csv"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds, after = time.perf_counter() - start, os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])  # of child processes, user and system
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed[-3000:]
    total = next((line.split()[1] for line in printed.splitlines() if line[:6] == "total "), "0")
    print(f"{what}: {seconds:.1f} s ({cpu:.1f} s of a core), {total} jobs", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a new folder for the devkit and the runs")
    folder = parser.parse_args().folder.resolve()
    copy_workflow(folder)
    make_devkit(folder / "VOC2012")
    random = {stage: {"network": {"weights": "random"}} for stage in ("cam", "affinity")}
    random |= {"segmentation": {"network": {"weights": "random"}}, "dataset": {"root": "VOC2012"}}
    (folder / "config/scale.yaml").write_text(yaml.safe_dump(random))
    timed("plan, each file new", folder, "--dry-run")
    timed("plan, no results", folder, "--dry-run")
    timed("run", folder)
    timed("plan, all finished", folder, "--dry-run")
    for file in (folder / "VOC2012").rglob("*.*"):
        file.touch()
    timed("plan, each file touched", folder, "--dry-run")
    size = sum(f.stat().st_size for f in (folder / ".snakemake").rglob("*") if f.is_file())
    print(f".snakemake: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
