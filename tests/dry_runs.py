"""Dry runs of the workflow, and its rules as Snakemake reads them."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from forked import snakemake_of
from in_process import parse_once
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
    found = []
    for done in snakemake_of(*((run.project, _arguments(run)) for run in runs)):
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        jobs = jobs_of(done.stdout + done.stderr)
        found.append({rule: count for rule, count in jobs.items() if rule != "all"})
    return found


def _arguments(run: DryRun) -> list[str]:
    command = ["--directory", str(run.folder), "--configfile", str(run.config), "--cores", "2"]
    command += ["--workflow-profile", f"{run.project}/profiles/default", "--dry-run"]
    return [*command, *run.arguments, "--", *run.targets]


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

    parse_once()
    of_job = {"shard": "train_aug_0", "model": "segmentation", "stage": "cam", "list": "classes"}
    of_job |= {"file": "coco.json", "masks": "pseudo_labels"}
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
