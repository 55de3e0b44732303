"""Snakemake's messages in the terminal: one line per stage."""

import logging

import pytest
from small_data import write_folder
from workflow_runs import run, stub_project

from psa_core.runtime.terminal import StageLines


def record(event, message="", level=logging.INFO, created=0.0, **fields):
    """A record of Snakemake's logger, at `created` seconds."""
    made = logging.LogRecord("snakemake", level, "", 0, message, None, None)
    made.__dict__.update(event=event, created=created, **fields)
    return made


def job(jobid, rule, log, created):
    return record("job_info", jobid=jobid, rule_name=rule, log=[str(log)], created=created)


@pytest.fixture
def lines():
    return StageLines(logging.Formatter("plain: %(message)s"))


def shown(lines, records):
    return [lines.format(each) for each in records if lines.filter(each)]


def test_a_rule_is_one_line_after_its_last_job(lines, tmp_path):
    """Two jobs of 30 and 34 images, from second 10 to 26: 4 images per second."""
    logs = {"a": "images 8/30\nimages 30/30, 9 s", "b": "masks 34/34", "c": "epoch 4/4: loss 0.1"}
    for name, counts in logs.items():
        (tmp_path / name).write_text(counts + "\ndone in 9.0 s\n")
    records = [
        record("run_info", stats={"infer_cam": 2, "train_cam": 1, "total": 3}),
        job(1, "infer_cam", tmp_path / "a", 10),
        job(2, "infer_cam", tmp_path / "b", 12),
        record("job_finished", job_id=1, created=20),
        job(3, "train_cam", tmp_path / "c", 20),
        record("progress", done=1, total=3),
        record("job_finished", job_id=2, created=26),
        record("job_finished", job_id=3, created=80.4),
    ]
    assert shown(lines, records) == [
        "3 jobs: infer_cam 2, train_cam 1",
        "infer_cam: 2 jobs, 64 images, 16 s, 4.0 images/s",
        "train_cam: 1 job, 60 s",
    ]


def test_time_left_follows_the_finished_rules(lines):
    """train_cam, 319 of 319 + 481 + 5 units, took 200 s: the other 486 will take 305 s."""
    lines.expect({"cam": 375, "segmentation": 370})
    stats = {"train_cam": 1, "train_segmentation": 1, "figure_stages": 1, "total": 3}
    begin = record("run_info", stats=stats, created=1000)
    first, second, third = (
        job(number, rule, "none", 1000) for number, rule in enumerate(list(stats)[:3])
    )
    ends = [
        record("job_finished", job_id=i, created=1000 + s) for i, s in enumerate((200, 500, 505))
    ]
    assert shown(lines, [begin, first, ends[0], second, ends[1], third, ends[2]])[1:] == [
        "train_cam: 1 job, 200 s; about 5 min left",
        "train_segmentation: 1 job, 500 s",
        "figure_stages: 1 job, 505 s",
    ]


def test_time_left_of_few_images_is_that_of_the_trainings(lines):
    """60 steps, 51 units, took 80 s, 48 images 21 s for their 210: 285 + 390 units are left."""
    lines.expect({"cam": 60, "affinity": 150, "segmentation": 300})
    stats = {"index_images": 1, "train_cam": 1, "infer_cam": 1}
    stats |= {"train_affinity": 1, "train_segmentation": 1}
    records = [record("run_info", stats={**stats, "total": 5}, created=-70)]
    times = [("index_images", -70, 0), ("train_cam", 0, 80), ("infer_cam", 80, 101)]
    for number, (rule, begin, end) in enumerate(times):
        records += [job(number, rule, "none", begin)]
        records += [record("job_finished", job_id=number, created=end)]
    assert shown(lines, records)[1:] == [
        "index_images: 1 job, 70 s",
        "train_cam: 1 job, 80 s",
        "infer_cam: 1 job, 21 s; about 18 min left",
    ]


def test_rules_side_by_side_count_once_in_the_time_left(lines):
    """make_affinity_labels runs within infer_cam's 330 s: 330 units in 330 s, 150 are left."""
    stats = {"infer_cam": 1, "make_affinity_labels": 1, "make_pseudo_labels": 1, "total": 3}
    records = [record("run_info", stats=stats, created=0)]
    records += [job(1, "infer_cam", "none", 0), job(2, "make_affinity_labels", "none", 100)]
    records += [record("job_finished", job_id=i, created=s) for i, s in ((2, 300), (1, 330))]
    assert shown(lines, records)[-1] == "infer_cam: 1 job, 330 s; about 2 min left"


def test_a_dry_run_says_its_plan_once_and_gives_no_advice(lines):
    stats = {"infer_cam": 1, "total": 1}
    records = [record("run_info", stats=stats), job(1, "infer_cam", "none", 0)]
    records += [record("run_info", stats=stats)]
    records += [record(None, "Some jobs were triggered by provenance information, see 'reason'")]
    missing = "1 jobs have missing provenance/metadata so that it in part cannot be used"
    records += [record(None, missing)]
    assert shown(lines, records) == ["1 job: infer_cam 1"]


def test_no_time_left_in_the_first_minute(lines):
    stats = {"infer_cam": 2, "train_affinity": 1, "total": 3}
    records = [record("run_info", stats=stats, created=0), job(1, "infer_cam", "none", 0)]
    records += [job(2, "infer_cam", "none", 0)]
    records += [record("job_finished", job_id=i, created=50) for i in (1, 2)]
    assert shown(lines, records)[1:] == ["infer_cam: 2 jobs, 50 s"]


def test_what_else_is_said(lines):
    """Warnings and unknown messages pass; a failed job is one line, as it has said why itself."""
    failed = {"rule_name": "train_cam", "log": ["results/logs/train_cam.log"]}
    command = "CalledProcessError in file x.smk: command returned non-zero exit status 1"
    records = [
        record(None, "Building DAG of jobs..."),
        record(None, "Nothing to be done."),
        record("error", command, logging.ERROR),
        record("error", "MissingInputException: no x", logging.ERROR),
        record("job_error", "", logging.ERROR, **failed),
        record("shellcmd", "python x"),
        record(None, "label check", logging.WARNING),
    ]
    assert shown(lines, records) == [
        "plain: Nothing to be done.",
        "plain: MissingInputException: no x",
        "train_cam failed; its log: results/logs/train_cam.log",
        "plain: label check",
    ]


def test_a_run_prints_a_line_per_rule_and_logs_all(tmp_path):
    """Snakemake's own log still has a paragraph per job; --verbose prints it, too."""
    config = tmp_path / "config.yaml"
    config.write_text(f"dataset: {write_folder(tmp_path)}")
    project = stub_project(tmp_path / "project")
    given = ("--snakefile", str(project / "Snakefile"), "--", "results/dataset/classes.txt")
    printed = run(tmp_path, *given, config=config).stderr
    assert "list_names: 1 job, " in printed
    assert "localrule" not in printed
    (log,) = (tmp_path / ".snakemake/log").glob("*.log")
    assert "localrule list_names" in log.read_text()
    assert (
        "localrule list_names"
        in run(tmp_path, "--verbose", "--force", *given, config=config).stderr
    )
    printed = run(tmp_path, "--dry-run", "--force", *given, config=config).stdout
    assert [line.strip() for line in printed.splitlines() if line.strip()] == [
        "1 job: list_names 1",
        "Reasons:",
        "forced:",
        "list_names",
        "This was a dry run: nothing was made.",
    ]
