"""Gradients of the networks and label maps, of this tree and of another commit in turn.

`make bench ARGS='--against COMMIT'`. Each measurement is a fresh process that imports the psa_core
of one tree; the two trees alternate, so that they meet the same conditions, and the ratio is the
median of the pairs. Inputs and weights are random and the same for both, settings are the defaults
of each tree. Writes results/bench_against.csv.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pandas as pd
from inputs import noisy_squares

ROOT = Path(__file__).resolve().parents[1]
PAIRS = 5
STEPS = 3
STAGES = "cam", "affinity", "segmentation"
CLASSES = 6
IMAGE = 500, 375  # width, height in pixels
Run = Callable[[str, Path], dict]


def defaults(tree: Path) -> dict:
    """The configuration that a data set gets from a tree without any settings."""
    import yaml

    from psa_core.runtime.config import complete

    schema = yaml.safe_load((tree / "config/schema.yaml").read_text())
    return complete({"dataset": {"format": "folder", "root": "."}}, schema)


def gradients(stage: str, tree: Path) -> dict:
    """Seconds of the quickest of STEPS passes forward and backward, and the loss of the first."""
    import torch

    from psa_core.networks.builder import build
    from psa_core.runtime.compute import open_device

    open_device("cpu", os.cpu_count() or 1)
    torch.manual_seed(0)
    section = defaults(tree)[stage]
    network = build(stage, {**section["network"], "weights": "random"}, CLASSES)
    network.to(memory_format=torch.channels_last).train()
    torch.manual_seed(1)
    size, batch = (section["training"][key] for key in ("crop_size", "batch_size"))
    images = torch.rand(batch, 3, size, size)
    cells = torch.randint(0, CLASSES + 1, (batch, -(-size // 32), -(-size // 32)))
    label_maps = cells.repeat_interleave(32, 1).repeat_interleave(32, 2)[:, :size, :size]
    labels = (torch.rand(batch, CLASSES) > 0.5).float() if stage == "cam" else label_maps
    losses = importlib.import_module(f"psa_core.method.{stage}").losses
    options = section["pairs"] if stage == "affinity" else {}
    seconds, found = [], []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        network.zero_grad()
        loss = losses(network, images, labels, **options)["loss"]
        loss.backward()
        seconds.append(time.perf_counter() - start)
        found.append(loss.item())
    return {"seconds": min(seconds[1:]), "value": found[0]}


def label_map(stage: str, tree: Path) -> dict:
    """Seconds of the quickest of STEPS label maps of one image, and the map's mean."""
    from psa_core.method.maps import with_background

    section = defaults(tree)[stage]
    image, maps = noisy_squares(*IMAGE)
    function = getattr(importlib.import_module(f"psa_core.method.{stage}"), stage)
    if stage == "pseudo_labels":
        maps = with_background(maps, 4)
    keys = ("alpha_low", "alpha_high", "confidence", "scale", "dcrf")
    options = {key: section[key] for key in keys if key in section}
    seconds = []
    for _ in range(STEPS):
        start = time.perf_counter()
        labels = function(image, maps, [1, 5], **options)
        seconds.append(time.perf_counter() - start)
    return {"seconds": min(seconds), "value": float(labels.mean())}


TASKS: dict[str, Callable[[Path], dict]] = {
    **{f"gradients, {s}": partial(gradients, s) for s in STAGES},
    **{f"{s}, one image": partial(label_map, s) for s in ("affinity_labels", "pseudo_labels")},
}


def in_a_process(task: str, tree: Path) -> dict:
    """The result of a task with a tree's psa_core."""
    command = [sys.executable, str(Path(__file__).resolve()), "--task", task, str(tree)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(tree)}, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{task} failed in {tree}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(
    before: Path, after: Path, tasks: Sequence[str], run: Run = in_a_process
) -> pd.DataFrame:
    """One row per task: seconds before and after, how many times faster, the results' change."""
    rows = []
    for task in tasks:
        pairs = [(run(task, before), run(task, after)) for _ in range(PAIRS)]
        old, new = zip(*pairs, strict=True)
        values = old[0]["value"], new[0]["value"]
        row = {
            "what": task,
            "before_s": statistics.median(each["seconds"] for each in old),
            "after_s": statistics.median(each["seconds"] for each in new),
            "ratio": statistics.median(a["seconds"] / b["seconds"] for a, b in pairs),
            "change": (values[1] - values[0]) / (abs(values[0]) or 1),
        }
        print(pd.Series(row).to_string(float_format="{:.3g}".format), end="\n\n", flush=True)
        rows.append(row)
    return pd.DataFrame(rows)


def compare_with(commit: str) -> pd.DataFrame:
    """`compare` with a commit of this repository. Exits with a message if there is no such one."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True)
    if archive.returncode:
        sys.exit(f"--against {commit}: {archive.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory() as name:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tree:
            tree.extractall(name, filter="data")
        return compare(Path(name), ROOT, list(TASKS))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", required=True)
    parser.add_argument("tree", type=Path)
    options = parser.parse_args()
    print(json.dumps(TASKS[options.task](options.tree)))
