"""The last lines of a run, about its own results: scores, labels to look at first, places."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from psa_core.evaluation.label_warning import read_checks, warning, worst_first
from psa_core.runtime.artifacts import read_table
from psa_core.runtime.terminal import times

SHOWN = 3  # labels to look at first


def closing(
    metrics: str | Path,
    check: str | Path,
    places: Mapping[str, str],
    *,
    before: Mapping[str, int],
    decided: Collection[str] = (),
) -> list[str]:
    """Lines for the terminal; those whose table is missing or unreadable are left out.

    metrics: results/metrics.csv. check: results/pseudo_labels/check.csv.
    places: what to look at, and its path.
    before: `times` of all these paths when the run began. What has not changed since is not named:
    after an export alone, nobody wants to hear of scores. But a run that makes the scores names the
    labels, too: an earlier one may have been stopped after it had made them.
    decided: images that have a decision or a correction, which need no look.
    A run that has succeeded must not fail at its last message.
    """
    made = {
        path
        for path, time in times([metrics, check, *places.values()]).items()
        if before.get(path) != time
    }
    lines: list[str] = []
    for describe, path in ((_scores, metrics), (partial(_labels, decided), check)):
        try:
            lines += describe(path) if made & {str(metrics), str(path)} else []
        except (OSError, ValueError, KeyError):
            continue
    # Absolute, since the user may stand elsewhere than in the folder of the run.
    lines += [f"{name}: {os.path.abspath(path)}" for name, path in places.items() if path in made]
    return lines


def _scores(path: str | Path) -> Iterator[str]:
    table = read_table(path)
    means = table[table["class"] == "mean"]
    if len(means):
        rows = (
            f"{row.stage} {row.iou:.1f} ({row.images} {row.split})" for row in means.itertuples()
        )
        yield f"mIoU (%) and images: {', '.join(rows)}"


def _labels(decided: Collection[str], path: str | Path) -> Iterator[str]:
    table = read_checks([path])
    worst = worst_first(table)
    worst = worst[~worst.index.isin(decided)].head(SHOWN)
    shown = [f"{name} ({_reason(image)})" for name, image in worst.iterrows()]
    if shown:
        yield f"pseudo labels to look at first: {', '.join(shown)}"
    if text := warning(table):
        yield f"{text} (see {os.path.abspath(path)})"


def _reason(image: pd.Series) -> str:
    reasons = {"empty": "empty", "flooded": "flooded", "missing": "lacks a class"}
    found = [text for key, text in reasons.items() if image[key]]
    return found[0] if found else f"unsure, margin {image['margin']:.2f}"
