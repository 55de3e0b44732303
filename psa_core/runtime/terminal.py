"""Snakemake's messages in the terminal: one line per stage in place of a paragraph per job.

No script imports this module, so that changing a message reruns nothing.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

Record = Any  # a logging.LogRecord with the attributes of its event
# Messages that say nothing about the user's run; .snakemake/log has them.
DROPPED = (
    *("Building DAG of jobs", "Using shell", "Select jobs to execute", "Execute "),
    *("Singularity containers", "Shutting down, this might take"),
    # Their advice does not fit this workflow, in which code and settings count.
    *("Some jobs were triggered by provenance", "The run involves"),
    *("Config file ", "Assuming unrestricted", "Rules with provenance triggered jobs"),
)
# What Snakemake says of jobs that it lists one by one, which the terminal does not show.
REPLACED = {
    "\n    (check individual jobs above for details)": "",
    "This was a dry-run (flag -n). The order of jobs does not reflect the order of execution.": (
        "This was a dry run: nothing was made."
    ),
}
DROPPED_EVENTS = ("job_info", "job_started", "group_info", "shellcmd", "progress", "resources_info")
# Seconds of all jobs of a rule relative to the others, rounded: 1,200 photographs, two cores. Only
# their ratios matter, and the measured time of finished rules sets the scale: one for the
# trainings, which have a least number of steps, and one for the rules that follow the images.
SECONDS = {
    "infer_cam": 210,
    "make_affinity_labels": 120,
    "infer_affinity": 100,
    "run_walk": 60,
    "make_pseudo_labels": 150,
    "predict_segmentation": 200,
}
SECONDS_PER_STEP = {"train_cam": 0.85, "train_affinity": 1.9, "train_segmentation": 1.3}
OTHERS = 5
LEAST_ELAPSED = 60  # seconds; earlier the time left says nothing
COUNTED = re.compile(r"(?:images|masks) (\d+)/\1\b")  # as `logs.progress` ends


class StageLines(logging.Formatter):
    """Formatter and filter of the handler that writes Snakemake's messages to the terminal.

    The plan becomes one line; so does each rule, once its last job has finished: number of jobs,
    images, seconds from the first start to the last end, images per second, and about how long the
    rest of the run will take. A failed job is one line that names its log, since the job itself has
    printed its error. Other warnings and errors pass unchanged.

    otherwise: the formatter of all other messages.
    show_logs: leave failed jobs to it; it prints the logs of jobs that ran on other machines.
    Records are those of Snakemake's logger, whose attribute `event` is described in
    snakemake_interface_logger_plugins.common.
    """

    def __init__(self, otherwise: logging.Formatter, *, show_logs: bool = False):
        super().__init__()
        self.otherwise, self.show_logs = otherwise, show_logs
        self.waiting: Counter[str] = Counter()  # jobs of each rule that have not finished
        self.jobs: dict[int, Record] = {}  # the job_info of each job
        self.finished: dict[str, list[Record]] = {}
        self.starts: dict[str, float] = {}
        self.ends: dict[str, float] = {}  # of rules whose jobs have all finished
        self.planned: Counter[str] = Counter()  # jobs of each rule in all
        self.seconds: dict[str, float] = SECONDS | SECONDS_PER_STEP
        self.begin = 0.0

    def expect(self, steps: dict[str, int]) -> None:
        """Tell how many steps each training has: {"cam": 60}."""
        self.seconds |= {
            f"train_{stage}": SECONDS_PER_STEP[f"train_{stage}"] * n for stage, n in steps.items()
        }

    def filter(self, record: Record) -> bool:
        """Whether the terminal shows a record; remembers what later lines need."""
        event, text = getattr(record, "event", None), str(record.msg)
        if event == "run_info":
            planned = Counter({n: c for n, c in record.stats.items() if n != "total"})
            if planned == self.planned:
                return False  # a dry run says it again at its end
            self.waiting, self.planned, self.begin = planned.copy(), planned, record.created
        elif event == "job_info":
            self.jobs[record.jobid] = record
            self.starts.setdefault(record.rule_name, record.created)
        elif event == "job_finished":
            return self._is_last(record)
        elif event == "error":
            return "CalledProcessError" not in text  # of the job that has printed its own error
        if event in DROPPED_EVENTS or "missing provenance/metadata" in text:
            return False
        return not text.startswith(DROPPED)

    def _is_last(self, record: Record) -> bool:
        job = self.jobs.get(record.job_id)
        if job is None:
            return False
        self.finished.setdefault(job.rule_name, []).append(job)
        self.waiting[job.rule_name] -= 1
        return self.waiting[job.rule_name] == 0

    def format(self, record: Record) -> str:
        event = getattr(record, "event", None)
        if event == "run_info":
            counts = {name: count for name, count in record.stats.items() if name != "total"}
            jobs = ", ".join(f"{name} {count}" for name, count in counts.items())
            total = record.stats["total"]
            return f"{total} job{'s' if total > 1 else ''}: {jobs}"
        if event == "job_finished":
            rule = self.jobs[record.job_id].rule_name
            self.ends[rule] = record.created
            line = self._line(rule, record.created - self.starts[rule])
            return line + self._left(record.created - self.begin)
        if event == "job_error" and not self.show_logs:
            logs = ", ".join(record.log) or ".snakemake/log"
            return f"{record.rule_name} failed; its log: {logs}"
        text = self.otherwise.format(record)
        for theirs, ours in REPLACED.items():
            text = text.replace(theirs, ours)
        return text

    def _line(self, rule: str, seconds: float) -> str:
        jobs = self.finished[rule]
        parts = [f"{len(jobs)} job{'s' if len(jobs) > 1 else ''}", f"{seconds:.0f} s"]
        if images := sum(map(_images, jobs)):
            parts.insert(1, f"{images} images")
            parts.append(f"{images / max(seconds, 0.1):.1f} images/s")
        return f"{rule}: {', '.join(parts)}"

    def _rate(self, rules: Iterable[str]) -> float:
        """Seconds that these rules took per second expected; 0 if none of them has finished."""
        finished = self.ends.keys() & set(rules)
        taken = _length((self.starts[rule], self.ends[rule]) for rule in finished)
        return taken / max(1, sum(self.seconds[rule] for rule in finished))

    def _left(self, elapsed: float) -> str:
        """ "; about 12 min left", or nothing where that is not known or less than a minute."""
        rates = [self._rate(group) for group in (SECONDS_PER_STEP, SECONDS)]
        seconds, is_known = 0.0, elapsed >= LEAST_ELAPSED
        for rule, planned in self.planned.items():
            rate = rates[0] if rule in SECONDS_PER_STEP else rates[1]
            share = self.waiting[rule] / planned
            is_known &= bool(rate) or not share or rule not in self.seconds
            seconds += (rate or max(rates)) * self.seconds.get(rule, OTHERS) * share
        minutes = seconds / 60
        is_known &= minutes >= 1
        return f"; about {minutes:.0f} min left" if is_known else ""


def times(paths: Iterable[str | Path]) -> dict[str, int]:
    """When each existing path was last changed, in nanoseconds; of a folder, its list of files."""
    found = {}
    for path in paths:
        with suppress(OSError):
            found[str(path)] = os.stat(path).st_mtime_ns
    return found


def _length(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals (start, end)."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _images(job: Record) -> int:
    """Number of images that a job has processed, from its log; 0 if that does not tell."""
    try:
        text = "".join(Path(path).read_text(encoding="utf-8") for path in job.log)
    except OSError:
        return 0
    counts = COUNTED.findall(text)
    return int(counts[-1]) if counts else 0
