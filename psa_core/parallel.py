"""The images of an index worked on side by side, by processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor

import pandas as pd


def in_processes(
    function: Callable[[tuple], object], images: pd.DataFrame, *, processes: int
) -> Iterator[tuple[tuple, object]]:
    """(row, function(row)) for each row of an index, in order, from so many processes.

    For what holds the interpreter's lock, as the dense CRF does. The processes are forked: any
    function will do, only results are pickled, but nothing may have run in torch before, whose
    threads do not survive a fork. A single process is the caller's own.
    An error of the function has the image as a note. Raises RuntimeError where a process is killed.
    """
    rows = list(images.itertuples())
    processes = min(processes, len(rows))
    if processes <= 1:
        yield from ((row, _call(function, row)) for row in rows)
        return
    pool = ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("fork"),
        initializer=_start_worker,
        initargs=(function, rows),
    )
    results = deque()
    try:
        results += [(row, pool.submit(_call_in_worker, i)) for i, row in enumerate(rows)]
        while results:
            row, result = results[0]
            yield row, result.result()
            results.popleft()  # a result that stayed would take memory to the end
    except BrokenExecutor as error:
        # Rows are handed out in order: the killed process had one of the first without a result.
        lost = [row.image for row, each in results if each.exception()]
        raise RuntimeError(
            f"a process was killed at one of the images {', '.join(lost[:processes])}: if memory "
            "ran out, give the job more of it, or run with fewer cores"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _call(function: Callable[[tuple], object], row: tuple) -> object:
    try:
        return function(row)
    except Exception as error:
        error.add_note(f"image {row.image}")
        raise


def _start_worker(function: Callable[[tuple], object], rows: list[tuple]) -> None:
    global _function, _rows
    _function, _rows = function, rows
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the caller, who ends the pool
    threading.Thread(target=_end_with_caller, daemon=True).start()


def _end_with_caller() -> None:
    """A worker would wait for ever for one that was killed."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _call_in_worker(i: int) -> object:
    return _call(_function, _rows[i])
