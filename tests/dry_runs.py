"""Many dry runs in little time: each is forked from a process that has imported Snakemake."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from seeds import ROOT
from workflow_runs import TARGETS, jobs_of


class DryRun(NamedTuple):
    """A dry run in a folder; project: where Snakefile and psa_core are."""

    folder: Path
    config: Path
    project: Path = ROOT
    arguments: tuple[str, ...] = ()
    targets: tuple[str, ...] = tuple(TARGETS)


class Rule(NamedTuple):
    """What a rule hands to its script; parameters that are functions are called for one job."""

    script: str | None
    params: dict[str, object]


def jobs_to_run(runs: list[DryRun]) -> list[dict[str, int]]:
    """Jobs of each rule that each dry run would run. Raises RuntimeError with what it prints."""
    context = multiprocessing.get_context("forkserver")
    slow_to_import = ["snakemake.cli", "snakemake.report.html_reporter", "jsonschema", "PIL.Image"]
    context.set_forkserver_preload(["pytest", *slow_to_import])
    with ProcessPoolExecutor(2, mp_context=context, max_tasks_per_child=1) as pool:
        found = [jobs_of(printed) for printed in pool.map(_print, runs)]
    return [{rule: count for rule, count in jobs.items() if rule != "all"} for jobs in found]


def _print(run: DryRun) -> str:
    """What the dry run prints; it takes the process's standard output for good."""
    sys.path.insert(0, str(run.project))  # where the Snakefile finds psa_core
    from snakemake.cli import main

    command = ["--snakefile", f"{run.project}/Snakefile", "--directory", str(run.folder)]
    command += ["--configfile", str(run.config), "--cores", "2", "--dry-run", *run.arguments]
    command += ["--workflow-profile", f"{run.project}/profiles/default", "--", *run.targets]
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
                raise RuntimeError(f"{printed}{end.code}") from None
    return printed


def rules_of(folder: Path, configs: list[Path]) -> list[dict[str, Rule]]:
    """The rules of the workflow by name, for each of several configurations."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_rules, folder, configs).result()


def _rules(folder: Path, configs: list[Path]) -> list[dict[str, Rule]]:
    from snakemake.api import SnakemakeApi
    from snakemake.iocontainers import Wildcards
    from snakemake.settings.types import (
        ConfigSettings,
        OutputSettings,
        Quietness,
        ResourceSettings,
    )

    of_job = {"shard": "train_aug_0", "model": "segmentation", "stage": "cam", "list": "classes"}
    of_job |= {"file": "coco.json"}
    found = []
    for config in configs:
        with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=2),
                config_settings=ConfigSettings(configfiles=[config]),
                snakefile=ROOT / "Snakefile",
                workdir=folder,
            )._workflow
            rules = {}
            for rule in workflow.rules:
                params = {
                    name: value(Wildcards(fromdict=of_job)) if callable(value) else value
                    for name, value in rule.params.items()
                }
                rules[rule.name] = Rule(rule.script, params)
            found.append(rules)
    return found
