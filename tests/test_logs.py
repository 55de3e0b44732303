"""Log files and progress: what a person finds when something took long or went wrong."""

import logging
import sys
from types import SimpleNamespace

import pytest

from psa_core.datasets.formats.source import DatasetError
from psa_core.runtime import logs

pytestmark = pytest.mark.usefixtures("restored_logging")


@pytest.fixture
def no_terminal(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)


@pytest.fixture
def clock(monkeypatch):
    """Set what the clock reads, call by call, in seconds."""

    def set_clock(*readings):
        monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=iter(readings).__next__))

    return set_clock


def test_log_tells_versions_facts_and_outcome(tmp_path, clock):
    clock(5, 7.3)
    path = tmp_path / "new" / "cam.log"
    with logs.stage(path, settings={"flip": True}) as log:
        log.info("in the middle")
    first, *middle, last = path.read_text().splitlines()
    assert f"python {sys.version.split()[0]}" in first
    assert "torch 2." in first
    assert middle[0].endswith("settings: {'flip': True}")
    assert middle[1].endswith("INFO in the middle")
    assert "done in 2.3 s" in last


def test_a_bug_is_logged_with_its_traceback(tmp_path, clock, capsys):
    clock(5, 8)
    path = tmp_path / "cam.log"
    with pytest.raises(SystemExit) as stop, logs.stage(path):
        raise KeyError("nose")
    assert stop.value.code == 1
    for text in (path.read_text(), capsys.readouterr().err):
        assert f"failed after 3 s. {logs.BUG}: {path}" in text
        assert text.count("Traceback") == text.count("KeyError: 'nose'") == 1
        assert "done in" not in text


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DatasetError("x.png: too small: enlarge it"), "x.png: too small: enlarge it"),
        (PermissionError(13, "Permission denied", "y.png"), "y.png: Permission denied"),
    ],
)
def test_an_error_of_the_user_is_one_message(tmp_path, clock, capsys, error, message):
    clock(5, 8)
    path = tmp_path / "cam.log"
    with pytest.raises(SystemExit) as stop, logs.stage(path):
        raise error
    assert stop.value.code == 1
    for text in (path.read_text(), capsys.readouterr().err):
        assert text.endswith(f"failed after 3 s: {message}\n")
        assert text.count(message) == 1
        assert "Traceback" not in text
        assert logs.BUG not in text


def test_log_is_of_the_last_run_and_of_its_own_stage(tmp_path):
    for name in ("a", "b", "a"):
        with logs.stage(tmp_path / name, run=name):
            pass
    assert (tmp_path / "a").read_text().count("run: a") == 1
    assert "run: a" not in (tmp_path / "b").read_text()


def test_warnings_reach_the_log(tmp_path):
    import warnings

    with warnings.catch_warnings(), logs.stage(tmp_path / "log"):
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)
    assert "careful" in (tmp_path / "log").read_text()


def test_progress_passes_items_on_and_reports_the_end(caplog, no_terminal, clock):
    clock(0, 1, 2, 3)
    caplog.set_level(logging.INFO)
    assert list(logs.progress("abc", total=3, label="images")) == ["a", "b", "c"]
    assert caplog.messages == ["images 3/3, 3 s so far, 0 s left"]


def test_progress_estimates_the_time_left(caplog, no_terminal, clock):
    # 8 s per item: no message before 10 s have passed, then one after two items.
    clock(0, 8, 16, 24, 32)
    caplog.set_level(logging.INFO)
    list(logs.progress(range(4), total=4, label="images"))
    assert caplog.messages == [
        "images 2/4, 16 s so far, 16 s left",
        "images 4/4, 32 s so far, 0 s left",
    ]


def test_a_bar_names_its_stage_and_the_log_has_the_count(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(logs, "has_bars", lambda: True)
    path = tmp_path / "logs/infer_cam/train_aug_0.log"
    with logs.stage(path):
        assert list(logs.progress("ab", total=2, label="images")) == ["a", "b"]
    shown = capsys.readouterr().err
    assert "infer_cam train_aug_0, images:" in shown
    assert "images 2/2" not in shown
    assert "images 2/2" in path.read_text()
