"""Several processes for functions that hold the interpreter's lock, such as the dense CRF."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager

from psa_core.datasets.index import ImageRow
from psa_core.errors import UserError

REMEDY = "if memory ran out, give the job more memory or fewer cores"
Map = Callable[..., Iterable]  # called as the built-in `map` is

# In a worker process: set once, when it starts.
_function: Callable[[ImageRow], object]
_rows: list[ImageRow]


def in_processes(
    function: Callable[[ImageRow], object], images: Sequence[ImageRow], *, processes: int
) -> Iterator[tuple[ImageRow, object]]:
    """(row, function(row)) for each row of an index, in order.

    The processes are forked: only results are pickled, so the function may be a closure; but torch
    must not have run before, as its threads do not survive a fork. With `processes` 1 the caller's
    own process does the work.
    An error in the function gets a note of its image. Raises UserError if a process is killed.
    """
    rows = list(images)
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
    results: deque[tuple[ImageRow, Future[object]]] = deque()
    try:
        results += [(row, pool.submit(_call_in_worker, i)) for i, row in enumerate(rows)]
        while results:
            row, result = results[0]
            yield row, result.result()
            results.popleft()  # to free the memory of the result
    except BrokenExecutor as error:
        # Rows are handed out in order: the killed process had one of the first unfinished ones.
        lost = [row.image for row, each in results if each.exception()]
        raise UserError(
            f"a process was killed at one of the images {', '.join(lost[:processes])}: {REMEDY}"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def forked(processes: int) -> Iterator[Map]:
    """A `map` whose calls run in other processes, for callers that may be in several threads.

    They are forked at once, so torch must not have run before; arguments and results are pickled.
    With `processes` 1 it is the built-in `map`.
    It raises UserError if a process is killed.
    """
    if processes <= 1:
        yield map
        return
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("fork"), initializer=_end_with_the_caller
    )
    pool.submit(int).result()  # the first call forks them all

    def in_pool(function: Callable, *arguments: Iterable) -> Iterator:
        try:
            yield from pool.map(function, *arguments)
        except BrokenExecutor as error:
            raise UserError(f"a process was killed: {REMEDY}") from error

    try:
        yield in_pool
    finally:
        pool.shutdown(cancel_futures=True)


def _call(function: Callable[[ImageRow], object], row: ImageRow) -> object:
    try:
        return function(row)
    except Exception as error:
        error.add_note(f"image {row.image}")
        raise


def _start_worker(function: Callable[[ImageRow], object], rows: list[ImageRow]) -> None:
    global _function, _rows
    _function, _rows = function, rows
    _end_with_the_caller()


def _end_with_the_caller() -> None:
    """Let the caller handle Ctrl-C, and exit when it dies; otherwise the worker hangs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_wait_for_caller, daemon=True).start()


def _wait_for_caller() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _call_in_worker(i: int) -> object:
    return _call(_function, _rows[i])
