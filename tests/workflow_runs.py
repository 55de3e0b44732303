"""Runs of the workflow, true ones and ones whose scripts only write empty files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from forked import snakemake_of
from seeds import ROOT, TINY_YAML

BIN = Path(sys.executable).parent
SNAKEMAKE = [str(BIN / "snakemake"), "--snakefile", str(ROOT / "Snakefile")]
PROFILE = ["--workflow-profile", str(ROOT / "profiles/default")]
TABLES = ("labels", "segmentation", "val_labels", "boundaries")
SWEEP = "results/sweeps/walk.csv"
EXPORTS = ["results/export/pseudo_labels/coco.json", "results/export/predictions/yolo.zip"]
# All that there is, but only two formats of exports.
TARGETS = ["all", SWEEP, *(f"results/tables/{table}.csv" for table in TABLES), *EXPORTS]

# In place of each script: tiny files for all that a rule declares, or leaves beside a manifest.
STUB = """
import json
import zlib
from pathlib import Path

DIGEST = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"  # of "0"


def images_of_job():
    if "image" in snakemake.wildcards.keys():
        return [snakemake.wildcards.image]
    if snakemake.params.get("images"):
        return snakemake.params.images
    tables = snakemake.input.get("images", [])
    tables = [tables] if isinstance(tables, str) else tables
    return [line for table in tables for line in Path(table).read_text().split()]


files = [Path(output) for output in snakemake.output]
for output in files:
    output.parent.mkdir(parents=True, exist_ok=True)
    lines = images_of_job() if output.suffix == ".csv" else []
    for pattern in map(str, snakemake.params):
        is_folder = "{}" in pattern and Path(pattern).parent == output.parent
        if is_folder and output.suffix != ".csv":
            for image in images_of_job():
                Path(pattern.format(image)).write_text("0")
                lines.append(f"{DIGEST}  {Path(pattern.format(image)).name}")
            body = "".join(f"{line}\\n" for line in lines)
            lines.insert(0, f"# {len(lines)} files, CRC-32 {zlib.crc32(body.encode()):08x}")
    for image in snakemake.params.get("corrections", {}):
        path = Path(snakemake.params["masks"].format(image))
        path.parent.mkdir(exist_ok=True)
        path.write_text("0")
    if "names" in snakemake.params.keys():
        lines = snakemake.params.names
    if output.suffix == ".safetensors":  # without tensors; a plan with `freeze` reads its classes
        classes = Path("results/dataset/classes.txt").read_text().split()
        about = json.dumps({"format": 1, "classes": classes})
        header = json.dumps({"__metadata__": {"psa": about}}).encode()
        output.write_bytes(len(header).to_bytes(8, "little") + header)
    else:
        output.write_text("".join(f"{line}\\n" for line in lines))
"""


def arguments_of(folder: Path, *arguments: str, config: Path = TINY_YAML) -> list[str]:
    given = ["--directory", str(folder), "--cores", "2", *PROFILE]
    return [*given, "--configfile", str(config), *arguments]


def run(folder: Path, *arguments: str, config: Path = TINY_YAML) -> subprocess.CompletedProcess:
    """Run the workflow in a folder, as a user would."""
    command = [*SNAKEMAKE, *arguments_of(folder, *arguments, config=config)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def snakemake(folder: Path, *arguments: str, config: Path = TINY_YAML, project: Path = ROOT) -> str:
    """What a run prints, started faster than by `run`. Fails the test where it fails.

    project: the folder of the workflow; any other than ROOT has stubs in place of the scripts.
    """
    command = arguments_of(folder, *arguments, config=config)
    (done,) = snakemake_of((project, command), stubs=project != ROOT)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout + done.stderr


def jobs_of(printed: str) -> dict[str, int]:
    """Number of jobs of each rule; {} where there is none.

    From the table that Snakemake prints in a dry run, or from the first line of a true run.
    """
    if "Nothing to be done" in printed:
        return {}
    if line := re.search(r"^\d+ jobs?: (.*)$", printed, re.MULTILINE):
        pairs = (each.rsplit(" ", 1) for each in line[1].split(", "))
        return {name: int(count) for name, count in pairs}
    counts: dict[str, int] = {}
    for line in printed.split("\njob ", 1)[1].splitlines()[2:]:
        if not line.strip():
            break
        name, count = line.split()
        counts[name] = int(count)
    del counts["total"]
    return counts


def copy_project(folder: Path) -> Path:
    """Copy the project's code, and nothing else."""
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("workflow", "psa_core", "config", "profiles"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    shutil.copy(ROOT / "Snakefile", folder)
    return folder


def stub_project(folder: Path) -> Path:
    """Copy the workflow with stubs in place of its scripts."""
    copy_project(folder)
    for script in (folder / "workflow/scripts").glob("*.py"):
        script.write_text(STUB)
    return folder
