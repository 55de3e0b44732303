"""Scores of presets on several data sets and seeds: `python benchmarks/accuracy.py FOLDER`.

Each combination is one run of the workflow in FOLDER/runs/{data set}/{preset}/{seed}, so the same
command continues after an interruption, and after a change of code reruns only what depends on it.
All finished runs in FOLDER are summarised in FOLDER/accuracy.csv and FOLDER/accuracy.md.

Data sets: `scenes` (config/config.yaml); with --voc-animals also `voc_animals`
(config/voc_animals.yaml) and its subsets `s48`, `m150` and `l300` (subsets.py), which have the
defaults and nothing else. NAME=ROOT is a folder of your own with masks, again with the defaults.

A preset is a YAML file that is laid over the configuration of each data set; it is named as the
file. `own` is nothing laid over.

The training images with masks have two halves: choose settings by the scores on `tuning`, report
those on `reporting` and on val.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import pandas as pd
import yaml
from snakemake.utils import update_config
from subsets import SUBSETS, build

from psa_core.evaluation import label_warning, scoring
from psa_core.runtime.artifacts import read_lines, read_table, write_lines, write_table
from psa_core.runtime.config import complete

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
HALVES = ("tuning", "reporting")
LABEL_MAPS = {"walk": "walk/labels/{}.png", "pseudo_labels": "pseudo_labels/{}.png"}
MIOU = "mIoU"
SUSPICIOUS = "empty or flooded, %"
MINUTES = "minutes"
MEMORY = "GiB"
COMBINATION = ["data", "preset"]
SCORE = ["stage", "split", "score"]
READING = Lock()  # no thread deletes scores while another reads them


class Run(NamedTuple):
    """One run of the workflow; config is complete but for the defaults of the schema."""

    folder: Path
    config: dict


# --- which runs -----------------------------------------------------------------------------------


def own_configurations(
    folder: Path, names: Iterable[str] | None, devkit: Path | None
) -> dict[str, dict]:
    """The configuration of each data set by name; makes the subsets that are missing.

    names: see the module; None means all there are. devkit: that of voc_animals.
    Raises ValueError for an unknown name, for one that needs the devkit if that is None, for a
    folder without masks and, DatasetError, for a devkit that has no such subsets.
    """
    of_devkit = ["voc_animals", *SUBSETS]
    found = {}
    for entry in names or ["scenes", *(of_devkit if devkit else [])]:
        name, _, root = entry.partition("=")
        if root:
            found[name] = _of_folder(Path(root))
        elif name == "scenes":
            found[name] = _of_preset("config.yaml", ROOT / "examples/scenes")
        elif name not in of_devkit:
            raise ValueError(f"no data set {name!r}: use scenes, {', '.join(of_devkit)}, NAME=ROOT")
        elif devkit is None:
            raise ValueError(f"data set {name!r} needs --voc-animals, the folder of its devkit")
        elif name == "voc_animals":
            found[name] = _of_preset("voc_animals.yaml", devkit)
        else:
            build(devkit, folder / "data" / name, SUBSETS[name])
            found[name] = _of_folder(folder / "data" / name)
    return found


def _of_folder(root: Path) -> dict:
    if not (root / "masks").is_dir():
        raise ValueError(f"{root / 'masks'}: no such folder: without masks there are no scores")
    return {"dataset": {"format": "folder", "root": str(root.resolve())}}


def _of_preset(preset: str, root: Path) -> dict:
    config = yaml.safe_load((ROOT / "config" / preset).read_text())
    update_config(config, {"dataset": {"root": str(root.resolve())}})
    return config


def combinations(
    folder: Path, own: dict[str, dict], presets: Iterable[str], seeds: Iterable[int]
) -> list[Run]:
    """All runs; those of one seed come first, so that an interrupted table has all data sets."""
    runs = []
    for seed in seeds:
        for name, config in own.items():
            for preset in presets:
                laid_over = {} if preset == "own" else yaml.safe_load(Path(preset).read_text())
                merged: dict = {}
                for each in (config, laid_over, {"seed": seed}):
                    update_config(merged, each)
                path = folder / "runs" / name / Path(preset).stem / str(seed)
                runs.append(Run(path, merged))
    return runs


def execute(run: Run, cores: int) -> None:
    """Run the workflow, or continue it, and score it: config.yaml, log and scores.csv.

    Raises RuntimeError, naming the log, if the workflow fails.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    scores, log = run.folder / "scores.csv", run.folder / "snakemake.log"
    with READING:
        scores.unlink(missing_ok=True)
    config = run.folder / "config.yaml"
    config.write_text(yaml.safe_dump(run.config, sort_keys=False))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "--cores", str(cores)]
    command += ["--directory", str(run.folder), "--configfile", str(config)]
    with log.open("w") as file:
        done = subprocess.run(
            [*command, "--", "results/metrics.csv"], stdout=file, stderr=file, check=False
        )
    if done.returncode:
        raise RuntimeError(f"the workflow failed, see {log}")
    write_table(scores, scores_of(run))


# --- scores ---------------------------------------------------------------------------------------


def half_of(image: str) -> str:
    """The half of a training image; it depends on nothing but the id."""
    return HALVES[hashlib.sha256(image.encode()).digest()[0] % 2]


def scores_of(run: Run) -> pd.DataFrame:
    """All scores of a finished run, columns stage, split, score and value.

    Scores are the IoU of each class by its name and their mean, mIoU, in per cent; for the pseudo
    labels also the share of images that are empty or flooded, in per cent; for the stage `all` the
    sum of the minutes of all jobs and the memory of the largest in GiB.
    """
    results = run.folder / "results"
    tables = [read_table(results / "metrics.csv"), *_of_halves(run)]
    ious = pd.concat(tables).rename(columns={"class": "score", "iou": "value"})
    ious["score"] = ious["score"].replace("mean", MIOU)
    checked = label_warning.suspicious(
        label_warning.read_checks([results / "pseudo_labels/check.csv"])
    )
    jobs = pd.concat(pd.read_csv(f, sep="\t") for f in results.glob("benchmarks/**/*.tsv"))
    others = [
        ("pseudo_labels", "train", SUSPICIOUS, 100 * checked.mean()),
        ("all", "all", MINUTES, jobs["s"].sum() / 60),
        ("all", "all", MEMORY, pd.to_numeric(jobs["max_rss"], "coerce").max() / 1024),
    ]
    columns = [*SCORE, "value"]
    return pd.concat([ious[columns], pd.DataFrame(others, columns=columns)], ignore_index=True)


def _of_halves(run: Run) -> list[pd.DataFrame]:
    """Scores of the stages before the model on either half of the training images with masks."""
    results = run.folder / "results"
    names = read_lines(results / "dataset/classes.txt")
    scored = read_lines(results / "dataset/scored_train.txt")
    tables = sorted((results / "dataset/images").glob("train_*.csv"))
    alpha = complete(run.config, SCHEMA)["cam"]["alpha"]

    maps = str(results / "cam/maps/{}.npy")
    labels = {"cam": scoring.of_class_maps(maps, tables, alpha)}
    for stage, pattern in LABEL_MAPS.items():
        labels[stage] = scoring.of_label_maps(str(results / pattern), len(names))
    masks = str(results / "dataset/masks/{}.png")
    return [
        scoring.score_images(
            [i for i in scored if half_of(i) == half], names, masks, label, stage=stage, split=half
        )
        for half in HALVES
        for stage, label in labels.items()
    ]


# --- tables ---------------------------------------------------------------------------------------


def read_scores(folder: Path) -> pd.DataFrame:
    """The scores of all finished runs, with the columns data, preset and seed."""
    tables = [
        read_table(path).assign(**dict(zip([*COMBINATION, "seed"], path.parts[-4:-1], strict=True)))
        for path in sorted(folder.glob("runs/*/*/*/scores.csv"))
    ]
    return pd.concat(tables, ignore_index=True)


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean and sample standard deviation of each score over the seeds.

    scores: columns data, preset, seed, stage, split, score, value. Returns one row per data set,
    preset, stage, split and score, with mean, std (NaN for a single seed) and seeds, their number.
    """
    grouped = scores.groupby([*COMBINATION, *SCORE], sort=False, dropna=False)["value"]
    return grouped.agg(mean="mean", std="std", seeds="count").reset_index()


SHOWN = {  # columns of the Markdown table
    "class maps, train": ("cam", "train", MIOU),
    "walk, train": ("walk", "train", MIOU),
    "labels, train": ("pseudo_labels", "train", MIOU),
    "labels, tuning": ("pseudo_labels", "tuning", MIOU),
    "labels, reporting": ("pseudo_labels", "reporting", MIOU),
    "model, val": ("segmentation", "val", MIOU),
    SUSPICIOUS: ("pseudo_labels", "train", SUSPICIOUS),
    MINUTES: ("all", "all", MINUTES),
    MEMORY: ("all", "all", MEMORY),
}


def markdown(table: pd.DataFrame) -> list[str]:
    """Lines of a table of SHOWN, from a `summary`: mean ± standard deviation; — is no score."""
    header = ["data set", "preset", "seeds", *SHOWN]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for combination, rows in table.groupby(COMBINATION, sort=False):
        found = rows.set_index(SCORE)
        cells = [*combination, str(rows["seeds"].max())]
        for score in SHOWN.values():
            cells.append(_cell(*found.loc[score, ["mean", "std"]]) if score in found.index else "—")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cell(mean: float, std: float) -> str:
    return f"{mean:.1f}" if pd.isna(std) else f"{mean:.1f} ± {std:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of runs and tables; kept for later runs")
    parser.add_argument("--data", nargs="+", metavar="NAME[=ROOT]", help="default: all there are")
    parser.add_argument("--voc-animals", type=Path, metavar="ROOT", help="devkit of voc_animals")
    parser.add_argument("--presets", nargs="+", default=["own"], metavar="FILE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time; they share:")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="of all runs together")
    options = parser.parse_args()
    folder = options.folder.resolve()
    try:
        own = own_configurations(folder, options.data, options.voc_animals)
        runs = combinations(folder, own, options.presets, options.seeds)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    cores = max(1, options.cores // options.jobs)
    failed = 0
    pool = ThreadPoolExecutor(options.jobs)
    try:
        waiting = {pool.submit(execute, run, cores): run for run in runs}
        for number, finished in enumerate(as_completed(waiting), start=1):
            error = finished.exception()
            failed += error is not None
            print(f"{number}/{len(runs)} {waiting[finished].folder}: {error or 'done'}", flush=True)
            if not error:
                with READING:
                    table = summary(read_scores(folder))
                write_table(folder / "accuracy.csv", table)
                write_lines(folder / "accuracy.md", markdown(table))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C no other run starts
    if (folder / "accuracy.md").exists():
        print((folder / "accuracy.md").read_text())
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
