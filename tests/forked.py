"""Snakemake in little time: each run is forked from a process that has imported Snakemake."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

from in_process import digest_once, fork_scripts, list_plugins_once, parse_once, run_scripts_here

IMPORTED = ["pytest", "snakemake.cli", "snakemake.report.html_reporter", "jsonschema", "PIL.Image"]
IMPORTED += ["nbformat", "smart_open", "platformdirs"]  # which Snakemake imports when it needs them
# What the stages import, but psa_core: a run may be of a changed copy of it.
IMPORTED += [
    "lightning.pytorch",
    "torchvision.transforms.v2",
    "timm",
    "pandas",
    "h5py",
    "scipy.sparse",
    "segmentation_models_pytorch",
    "matplotlib.pyplot",
]


def start_server() -> multiprocessing.context.BaseContext:
    """The context whose processes are forked from one that has imported what takes seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def snakemake_of(*runs: tuple[Path, Sequence[str]], stubs: bool = False) -> list[CompletedProcess]:
    """Run Snakemake several times, two at a time.

    runs: (folder of the Snakefile and of its psa_core, arguments). stubs: the scripts are stubs.
    """
    with ProcessPoolExecutor(2, mp_context=start_server(), max_tasks_per_child=1) as pool:
        started = [pool.submit(outcome_of, *each, dict(os.environ), stubs) for each in runs]
        return [each.result() for each in started]


def outcome_of(
    project: Path, arguments: Sequence[str], environment: dict[str, str], stubs: bool
) -> CompletedProcess:
    """Snakemake's outcome; it takes this process's standard output for good."""
    gc.freeze()  # what was imported: collecting it copies its memory into this process
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, str(project))  # where the Snakefile finds psa_core
    command = ["--snakefile", str(project / "Snakefile"), *arguments]
    sys.argv = ["snakemake", *command]
    from snakemake.cli import main

    parse_once()
    digest_once()
    list_plugins_once()
    if stubs:
        run_scripts_here()
    else:
        fork_scripts()
    status = 0
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        try:
            main(command)
        except SystemExit as end:
            status = end.code
        sys.stdout.flush()
        sys.stderr.flush()
        printed = []
        for file in (out, err):
            file.seek(0)
            printed.append(file.read())
    if not isinstance(status, int | None):
        printed[1] += f"{status}\n"  # as Python prints it
        status = 1
    return CompletedProcess(command, status or 0, *printed)
