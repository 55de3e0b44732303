"""Many dry runs in little time: each is forked from a process that has imported Snakemake."""

import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TABLES = ("labels", "segmentation", "val_labels", "boundaries")
SWEEP = "results/sweeps/random_walk.csv"
TARGETS = ["all", SWEEP, *(f"results/tables/{table}.csv" for table in TABLES)]  # all that there is


class DryRun(NamedTuple):
    """A dry run of all targets in a folder; project: where Snakefile and psa_core are."""

    folder: Path
    config: Path
    project: Path = ROOT
    arguments: tuple[str, ...] = ()


def rules_to_run(runs: list[DryRun]) -> list[set[str]]:
    """The rules that each dry run says it would run. Raises RuntimeError with what it prints."""
    context = multiprocessing.get_context("forkserver")
    slow_to_import = ["snakemake.cli", "snakemake.report.html_reporter", "jsonschema", "PIL.Image"]
    context.set_forkserver_preload(["pytest", *slow_to_import])
    with ProcessPoolExecutor(2, mp_context=context, max_tasks_per_child=1) as pool:
        return [_rules(printed) for printed in pool.map(_run, runs)]


def _run(run: DryRun) -> str:
    """What the dry run prints; it takes the process's standard output for good."""
    sys.path.insert(0, str(run.project))  # where the Snakefile finds psa_core
    from snakemake.cli import main

    command = ["--snakefile", f"{run.project}/Snakefile", "--directory", str(run.folder)]
    command += ["--configfile", str(run.config), "--cores", "2", "--dry-run", *run.arguments]
    command += ["--workflow-profile", f"{run.project}/profiles/default", "--", *TARGETS]
    with tempfile.TemporaryFile("w+") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            main(command)
        except SystemExit as end:
            sys.stdout.flush()
            file.seek(0)
            printed = file.read()
            if end.code:
                raise RuntimeError(printed) from None
    return printed


def _rules(printed: str) -> set[str]:
    lines = [line for line in printed.splitlines() if line.startswith(("rule ", "localrule "))]
    rules = {line.split()[1].rstrip(":") for line in lines} - {"all"}
    assert rules or "Nothing to be done" in printed, printed
    return rules
