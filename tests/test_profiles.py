"""The profiles: one set of rules for reruns, and what each rule asks SLURM for."""

import math
import re

import pytest
import yaml
from seeds import ROOT
from workflow_runs import jobs_of, snakemake

DEFAULT, SLURM = (
    yaml.safe_load((ROOT / f"profiles/{name}/profile.yaml").read_text())
    for name in ("default", "slurm")
)
ON_SLURM = ["--workflow-profile", str(ROOT / "profiles/slurm")]


def test_a_cluster_reruns_what_a_laptop_does():
    assert len(DEFAULT) >= 3
    assert {key: SLURM.get(key) for key in DEFAULT} == DEFAULT


def scripts_of_rules() -> dict[str, str]:
    """The script of each rule that has a name of its own, by the text of the rules."""
    scripts = {}
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        for rule, body in re.findall(
            r"^ *rule (\w+):\n(.*?)(?=^ *rule |^\S|\Z)", text, re.M | re.S
        ):
            scripts[rule] = re.search(r'"../(scripts/\w+\.py)"', body)[1]
        for rule, copy in re.findall(r"^use rule (\w+) as (\w+) with", text, re.M):
            scripts[copy] = scripts[rule]
    return scripts


def test_networks_have_a_gpu_and_nothing_else_has():
    scripts = scripts_of_rules()
    assert len(scripts) > 20
    with_networks = {
        rule
        for rule, script in scripts.items()
        if 'snakemake.config["device"]' in (ROOT / "workflow" / script).read_text()
    }
    resources = SLURM["set-resources"]
    assert {rule for rule, asked in resources.items() if asked.get("gpu") == 1} == with_networks
    assert resources.keys() - with_networks == SLURM["groups"].keys()
    assert resources.keys() <= scripts.keys()
    assert "gpu" not in SLURM["default-resources"]


@pytest.mark.parametrize("attempt", [1, 2])
def test_memory_and_time_grow_with_the_attempt(tmp_path, attempt):
    dry_run = ["--attempt", str(attempt), "--dry-run", "--verbose"]
    printed = snakemake(tmp_path, *ON_SLURM, *dry_run, "--", "results/metrics.csv")
    asked = {}
    for block in re.split(r"^ *(?:local)?rule (?=\w+:)", printed, flags=re.M)[1:]:
        resources = dict(re.findall(r"(\w+)=([^,\s]+)", block.split("resources: ")[1]))
        names = ("mem_mb", "runtime", "gpu", "slurm_extra")
        asked[block.split(":")[0]] = [resources.get(name) for name in names]
    train = [str(attempt * 16000), str(attempt * 720), "1", "--signal=TERM@120"]
    infer = [str(attempt * 8000), str(attempt * 240), "1", None]
    index = [str(attempt * 1000), str(attempt * 120), None, None]
    cpu = [str(attempt * 4000), str(attempt * 120), None, None]
    assert asked.pop("train_segmentation") == asked.pop("train_affinity") == train
    assert asked.pop("train_cam") == train
    assert asked.pop("infer_cam") == asked.pop("make_prototypes") == infer
    assert asked.pop("infer_affinity") == infer
    assert asked.pop("predict_segmentation") == infer
    assert asked.pop("index_images") == asked.pop("index_masks") == index
    assert {"run_walk", "make_affinity_labels", "make_pseudo_labels"} < set(asked)
    assert [rule for rule, resources in asked.items() if resources != cpu] == []


def test_eight_shards_are_indexed_by_a_job(tmp_path):
    shards = ["--config", "dataset={shards: 12}"]
    options = ["--dry-run", "--verbose", *shards]
    printed = snakemake(tmp_path, *ON_SLURM, *options, "--", "results/metrics.csv")
    jobs = jobs_of(printed)
    count = jobs["index_images"] + jobs["index_masks"]
    assert count > 16
    assert printed.count("Group job index") == math.ceil(count / 8)
