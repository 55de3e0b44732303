"""Stage logging and progress: a log file, messages on the terminal, the time left."""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tqdm.auto import tqdm

from psa_core.errors import message_of
from psa_core.runtime.manifests import edited_files

log = logging.getLogger(__name__)
told = logging.getLogger(f"{__name__}.progress")  # shown while a stage runs
running = ""  # the name of the stage, for its bars
APPEND = "PSA_APPEND_LOG"  # set in child processes: append to the parent's log
BUG = "This is a bug of the workflow; please report it in its issues, with this file"
PACKAGES = ("torch", "torchvision", "lightning", "timm", "numpy", "scipy", "pydensecrf2")


@contextmanager
def stage(
    path: str | Path, *, reads: Iterable[str] = (), only: str | None = None, **facts: object
) -> Iterator[logging.Logger]:
    """Log a stage to `path`: versions and facts first, the outcome last.

    The terminal gets warnings, errors and, unless a bar shows it there, progress; each with the
    name of the stage.

    path: overwritten, with its folder created. facts: logged as "name: value".
    reads, only: see `manifests.edited_files`, which a warning names.
    Yields the logger of psa_core; warnings are logged too. Errors are logged, in one message if the
    user can mend them (`errors.message_of`), else with their traceback; then the process exits with
    status 1. If a training has several processes, all but the first log errors only.
    """
    global running
    running = " ".join(Path(path).with_suffix("").parts[-2:]).removeprefix("logs ")
    device = _device()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if device == 0 and not os.environ.get(APPEND):
        Path(path).write_text("", encoding="utf-8")
    file = logging.FileHandler(path, mode="a", encoding="utf-8")
    terminal = logging.StreamHandler(sys.stderr)
    name = f"device {device}: " if device else ""
    file.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s {name}%(message)s"))
    terminal.setFormatter(logging.Formatter(f"{running}: {name}%(message)s"))
    terminal.addFilter(lambda record: record.levelno > logging.INFO or record.name == told.name)
    terminal.addFilter(not_in_a_bar)
    for handler in (file, terminal):
        handler.setLevel(logging.ERROR if device else logging.INFO)
    logging.basicConfig(level=logging.INFO, handlers=[file, terminal], force=True)
    logging.captureWarnings(True)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # tips and advertisements
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before")
    warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")
    warnings.filterwarnings("ignore", "The `srun` command is available on your system")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="lightning")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    start = time.monotonic()
    log.info("python %s, %s", platform.python_version(), ", ".join(_versions()))
    for name, fact in facts.items():
        log.info("%s: %s", name, fact)
    try:
        _warn_of_edits(list(edited_files(reads, only)))
        yield logging.getLogger("psa_core")
    except SystemExit as stop:
        log.warning("%s", stop)
        raise SystemExit(1) from None
    except Exception as error:
        seconds = time.monotonic() - start
        if message := message_of(error):
            log.error("failed after %.0f s: %s", seconds, message)
        else:
            log.exception("failed after %.0f s. %s: %s", seconds, BUG, path)
        raise SystemExit(1) from None  # anything else would print the traceback again
    log.info("done in %.1f s", time.monotonic() - start)


def _warn_of_edits(edited: list[Path]) -> None:
    if edited:
        more = f" (and {len(edited) - 1} more)" if len(edited) > 1 else ""
        log.warning(
            "%s%s: not what the manifest in its folder lists: edited, or made again alone on "
            "another machine. It is read as it is; to make it again, delete the manifest, and add "
            "--forcerun %s",
            edited[0],
            more,
            running.split()[0],
        )


def _versions() -> Iterator[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue


def not_in_a_bar(record: logging.LogRecord) -> bool:
    """Filter of handlers that write to the terminal: no progress where a bar shows it."""
    return record.name != told.name or not has_bars()


def has_bars() -> bool:
    """Whether progress is shown as bars: in a terminal, by the first device, except in CI."""
    return sys.stderr.isatty() and not os.environ.get("CI") and _device() == 0


def _device() -> int:
    return int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_PROCID", 0)))


def bar(label: str, items: Iterable | None = None, *, total: int, initial: int = 0) -> tqdm:
    """A bar with the name of the stage and the time left; nothing is shown outside a terminal."""
    name = f"{running}, {label}" if running else label
    return tqdm(items, total=total, initial=initial, desc=name, leave=False, disable=not has_bars())


def counter(label: str) -> Callable[[int, int], None]:
    """Return a function of (items done, total) that logs them every 10 s and at the end."""
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last > 10:
            told.info("%s %d/%d", label, done, total)
            last = time.monotonic()

    return report


def progress(items: Iterable, *, total: int, label: str) -> Iterator:
    """Yield the items; log the time left every 10 s and at the end, and show a bar in a terminal.

    total: number of items. label: what they are, "images".
    """
    start = last = time.monotonic()
    shown = bar(label, items, total=total)
    for done, item in enumerate(shown, start=1):
        yield item
        now = time.monotonic()
        if done == total or now - last > 10:
            left = (now - start) / done * (total - done)
            told.info("%s %d/%d, %.0f s so far, %.0f s left", label, done, total, now - start, left)
            last = now
