"""Processes over images: the same results in order, and an end with whoever started them."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from psa_core.datasets.index import ImageRow
from psa_core.errors import UserError
from psa_core.method.pseudo_labels import pseudo_labels
from psa_core.runtime import parallel

ROOT = Path(__file__).parents[1]
DCRF = {
    "iterations": 3,
    "gaussian": {"sxy": 3, "compat": 3},
    "bilateral": {"sxy": 20, "srgb": 13, "compat": 10},
}


@pytest.fixture
def images():
    return [ImageRow(image, "", "", (), (2, 5), 24, 30) for image in "abcdefg"]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_results_are_in_order(images, processes):
    def call(row):
        time.sleep(0.05 * (row.image == "a"))  # so that others overtake it
        return row.image.upper(), os.getpid()

    found = list(parallel.in_processes(call, images, processes=processes))
    assert [(row.image, result) for row, (result, _) in found] == list(
        zip("abcdefg", "ABCDEFG", strict=True)
    )
    workers = {process for _, (_, process) in found}
    assert (workers == {os.getpid()}) == (processes == 1)
    assert len(workers) <= processes


def test_pseudo_labels_are_those_of_one_process(images, rng):
    pixels = rng.integers(0, 256, (7, 24, 30, 3), dtype=np.uint8)
    scores = rng.random((7, 3, 6, 8), dtype=np.float32)

    def label(row):
        k = "abcdefg".index(row.image)
        return pseudo_labels(pixels[k], scores[k], row.classes, confidence=0.8, dcrf=DCRF)

    one, two = (
        [result for _, result in parallel.in_processes(label, images, processes=processes)]
        for processes in (1, 2)
    )
    assert len({each.tobytes() for each in one}) == 7
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_names_its_image(images, processes):
    def call(row):
        if row.image == "c":
            raise ValueError("scores have another shape")

    with pytest.raises(ValueError, match=r"another shape") as caught:
        list(parallel.in_processes(call, images, processes=processes))
    assert caught.value.__notes__ == ["image c"]


def test_a_killed_process_is_reported(images):
    def call(row):
        if row.image == "c":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)

    with pytest.raises(UserError, match=r"killed at one of the images .*c.*memory"):
        list(parallel.in_processes(call, images, processes=2))


def process_and_power(base: int, exponent: int) -> tuple[int, int]:
    time.sleep(0.05 * (base == 0))  # so that others overtake it
    return os.getpid(), base**exponent


@pytest.mark.parametrize("processes", [1, 2])
def test_a_map_in_other_processes_is_a_map_to_several_threads(processes):
    def cubes(first):
        return list(refine_all(process_and_power, range(first, 9), [3] * 9))

    with parallel.forked(processes) as refine_all, ThreadPoolExecutor(2) as threads:
        for first, found in zip((0, 4), threads.map(cubes, (0, 4)), strict=True):
            assert [power for _, power in found] == [0, 1, 8, 27, 64, 125, 216, 343, 512][first:]
            assert {process == os.getpid() for process, _ in found} == {processes == 1}


def kill_the_third(number: int) -> None:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_of_a_map_is_reported():
    with (
        parallel.forked(2) as refine_all,
        pytest.raises(UserError, match=r"process was killed: if memory ran out, give the job more"),
    ):
        list(refine_all(kill_the_third, range(4)))


CALLER = """
import os, signal, sys, time
from types import SimpleNamespace
from psa_core.runtime import parallel

def call(row):
    os.write(1, f"{os.getpid()}\\n".encode())  # at once: two workers write
    time.sleep(1 if row.image == "a" else 0.2)

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
images = [SimpleNamespace(image=image) for image in ("a", *"b" * int(sys.argv[1]))]
"""
IN_PROCESSES = "list(parallel.in_processes(call, images, processes=2))"
FORKED = """
with parallel.forked(2) as refine_all:
    list(refine_all(call, images))
"""


@pytest.mark.parametrize(
    ("waiting", "how"), [(1, IN_PROCESSES), (600, IN_PROCESSES), (600, FORKED)]
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_their_caller(number, waiting, how):
    """Ctrl-C goes to the whole group of processes, Snakemake's signal to the script alone."""
    with subprocess.Popen(
        [sys.executable, "-c", CALLER + how, str(waiting)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as caller:
        workers = {int(caller.stdout.readline()) for _ in range(2)}
        assert len(workers) == 2
        time.sleep(0.5)  # a worker that has done its only image waits
        os.killpg(caller.pid, number) if number == signal.SIGINT else caller.send_signal(number)
        # Its output ends when the last process that can write to it has ended.
        _, errors = caller.communicate(timeout=30)
    assert caller.returncode in (-number, 1)
    # Only Ctrl-C leaves the caller time to end its workers; else one may meet its broken pipe.
    if number == signal.SIGINT:
        assert "KeyboardInterrupt" in errors
        assert errors.count("Traceback") == 1


@pytest.mark.parametrize("script", ["make_affinity_labels", "make_pseudo_labels"])
def test_scripts_that_fork_do_not_load_torch(script):
    lines = (ROOT / f"workflow/scripts/{script}.py").read_text().splitlines()
    imports = [line for line in lines if line.startswith(("from psa_core", "import "))]
    assert any("parallel" in line for line in imports)
    program = "\n".join([*imports, "import sys; sys.exit('torch' in sys.modules)"])
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
