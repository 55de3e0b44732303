"""What corrected masks buy: `python benchmarks/corrections.py RUN FOLDER`.

RUN is the folder of a finished run whose training images have true masks, with its config.yaml, as
`make accuracy` leaves it. In copies of it the true masks of some images are corrected ones
(`dataset.corrections`), and the segmentation model learns again. The images are those that the
review page shows first, or random ones, drawn several times. The same command continues after an
interruption. Writes FOLDER/corrections.csv and .md: mean and standard deviation of the mIoU on val,
and how wrong the replaced labels were.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from snakemake.utils import update_config

from psa_core.evaluation.label_warning import read_checks, worst_first
from psa_core.runtime.artifacts import (
    IGNORE,
    read_label_map,
    read_lines,
    read_table,
    write_lines,
    write_table,
)

ROOT = Path(__file__).resolve().parents[1]
SCORE = "results/metrics/segmentation.csv"
ORDERS = {"worst": "first on the review page", "random": "random"}


def ranked(run: Path, order: str, draw: int) -> list[str]:
    """Training images with true masks in the order in which they are corrected."""
    scored = set(read_lines(run / "results/dataset/scored_train.txt"))
    images = worst_first(read_checks([run / "results/pseudo_labels/check.csv"])).index
    images = [image for image in images if image in scored]
    return images if order == "worst" else random.Random(draw).sample(images, len(images))


def wrong_pixels(run: Path, images: list[str]) -> float:
    """Per cent of the pixels of these images whose pseudo label is not the true class."""
    wrong = total = 0
    for image in images:
        mask = read_label_map(run / f"results/dataset/masks/{image}.png")
        label = read_label_map(run / f"results/pseudo_labels/{image}.png", mask.shape)
        counted = (mask != IGNORE) & (label != IGNORE)
        wrong += int(np.count_nonzero(counted & (mask != label)))
        total += int(np.count_nonzero(counted))
    return 100 * wrong / total


def score(run: Path, folder: Path, images: list[str], cores: int) -> float:
    """The model's mIoU on val after these images were corrected.

    folder: of the copy of the run, which is kept if its score is there. Raises RuntimeError, naming
    the log, if the workflow fails.
    """
    if not (folder / "score.csv").exists():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(run, folder, ignore=shutil.ignore_patterns("review", "export", ".cache"))
        corrections = folder / "corrections"
        corrections.mkdir()
        for image in images:
            shutil.copy(run / f"results/dataset/masks/{image}.png", corrections)
        config = yaml.safe_load((run / "config.yaml").read_text())
        update_config(config, {"dataset": {"corrections": str(corrections)}})
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--workflow-profile", str(ROOT / "profiles/default"), "--cores", str(cores)]
        command += ["--directory", str(folder), "--configfile", str(folder / "config.yaml")]
        log = folder / "snakemake.log"
        with log.open("w") as file:
            done = subprocess.run([*command, "--", SCORE], stdout=file, stderr=file, check=False)
        if done.returncode:
            raise RuntimeError(f"the workflow failed, see {log}")
        shutil.copy(folder / SCORE, folder / "score.csv")
        shutil.rmtree(folder / "results")  # hundreds of MB
    return mean_iou(folder / "score.csv")


def mean_iou(table: Path) -> float:
    """The mIoU of a table of scores, in per cent."""
    return float(read_table(table).set_index("class").loc["mean", "iou"])


def markdown(table: pd.DataFrame, without: float) -> list[str]:
    """Lines of a table: one row for each number of corrected masks and each order."""
    lines = [
        "| corrected masks | which | draws | wrong pixels of their labels, % | mIoU on val |",
        "|---|---|---|---|---|",
        f"| 0 | | | | {without:.1f} |",
    ]
    for (count, order), rows in table.groupby(["count", "order"], sort=False):
        wrong = _cell(rows["wrong"])
        lines.append(
            f"| {count} | {ORDERS[order]} | {len(rows)} | {wrong} | {_cell(rows['miou'])} |"
        )
    return lines


def _cell(values: pd.Series) -> str:
    text = f"{values.mean():.1f}"
    return text if len(values) == 1 else f"{text} ± {values.std():.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--counts", nargs="+", type=int, default=[10, 30, 100], metavar="N")
    parser.add_argument("--draws", type=int, default=3, help="of random images")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    options = parser.parse_args()
    run, folder = options.run.resolve(), options.folder.resolve()
    if not (run / SCORE).exists() or not (run / "config.yaml").exists():
        parser.error(f"{run}: no finished run with {SCORE} and config.yaml")
    if (known := len(ranked(run, "worst", 0))) < max(options.counts):
        parser.error(f"--counts {max(options.counts)}: {known} training images have true masks")
    rows, without = [], mean_iou(run / SCORE)
    for count in options.counts:
        for order in ORDERS:
            for draw in range(options.draws if order == "random" else 1):
                images = ranked(run, order, draw)[:count]
                miou = score(run, folder / f"{order}_{count}_{draw}", images, options.cores)
                wrong = wrong_pixels(run, images)
                rows.append((count, order, draw, wrong, miou))
                table = pd.DataFrame(rows, columns=["count", "order", "draw", "wrong", "miou"])
                write_table(folder / "corrections.csv", table)
                write_lines(folder / "corrections.md", markdown(table, without))
                print(f"{count} {order} {draw}: {wrong:.1f} % wrong, mIoU {miou:.1f}", flush=True)
    print((folder / "corrections.md").read_text())


if __name__ == "__main__":
    main()
