"""Trainings that are really killed, at any moment, and go on."""

import multiprocessing
import random
import signal
import time

import pytest
import tiny_training
import torch
from PIL import Image
from seeds import SEED

from psa_core import resume

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["psa_core.training", "psa_core.affinity"])  # seconds each
STEPS = 12


def start(target, *arguments):
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def ended(target, *arguments) -> int:
    """Exit status of a process; minus the signal's number where that ended it."""
    process = start(target, *arguments)
    process.join(600)  # a training that hangs; a busy machine needs a minute
    assert process.exitcode is not None
    return process.exitcode


def nothing(step):
    pass


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Eight images, and a folder in which they were trained on without a break."""
    folder = tmp_path_factory.mktemp("unbroken")
    rng = random.Random(5 + SEED)
    paths = [folder / f"{i}.png" for i in range(8)]
    for path in paths:
        Image.frombytes("RGB", (24, 20), rng.randbytes(24 * 20 * 3)).save(path)
    assert ended(tiny_training.train_tiny, folder, paths, nothing) == 0
    return folder, paths


def assert_same(folder, expected):
    for name in ("network.pt", "losses.csv"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes()


def steps_run(folder) -> int:
    calls = folder / "calls"
    return calls.stat().st_size if calls.exists() else 0


def test_killed_at_random_moments_ends_as_an_unbroken_training(unbroken, tmp_path):
    """kill -9 after steps that are drawn from a seed, and at any moment of what follows them.

    No run is allowed all twelve steps, so only one that goes on from an earlier run ends.
    """
    expected, paths = unbroken
    rng, kills = random.Random(SEED), 0
    draws = [rng.randint(1, 7), rng.randint(1, 7), rng.randint(1, 3)]  # too few to end before
    draws += [rng.randint(1, 7) for _ in range(20)]
    for steps in draws:
        last = steps_run(tmp_path) + steps
        (tmp_path / "allowed").write_bytes(bytes(last))
        process = start(tiny_training.train_as_allowed, tmp_path, paths)
        while steps_run(tmp_path) < last and process.is_alive():
            time.sleep(0.005)
        process.join(rng.uniform(0, 0.1))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:
            break
    assert kills >= 3
    assert_same(tmp_path, expected)


def test_killed_while_it_saves_it_has_the_checkpoint_before(unbroken, tmp_path):
    expected, paths = unbroken
    assert ended(tiny_training.train_until_half_saved, tmp_path, paths) == -signal.SIGKILL
    checkpoint = tmp_path / "checkpoints/last.ckpt"
    assert resume.steps_done(checkpoint) == 4
    assert len(list(checkpoint.parent.glob(".last*"))) == 1  # the half
    (tmp_path / "calls").unlink()
    assert ended(tiny_training.train_tiny, tmp_path, paths, nothing) == 0
    assert (tmp_path / "calls").stat().st_size == STEPS - 4
    assert_same(tmp_path, expected)


def train_with_a_worker(folder, paths):
    tiny_training.train_tiny(folder, paths, nothing, workers=1)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_a_signal_saves_the_step_in_hand(unbroken, tmp_path, name):
    """SLURM signals all processes, the loader's workers too; the sixth step is within an epoch.

    The worker of the training that goes on asks for images before Lightning names the epoch.
    """
    expected, paths = unbroken
    number = getattr(signal, name)
    assert ended(tiny_training.train_until_signalled, tmp_path, paths, number) == 1
    assert resume.steps_done(tmp_path / "checkpoints/last.ckpt") == 6
    assert not (tmp_path / "network.pt").exists()
    (tmp_path / "calls").unlink()
    assert ended(train_with_a_worker, tmp_path, paths) == 0
    assert (tmp_path / "calls").stat().st_size == STEPS - 6
    assert_same(tmp_path, expected)


def test_a_worker_goes_on_at_the_next_epoch(unbroken, tmp_path):
    expected, paths = unbroken
    assert ended(tiny_training.train_until_half_saved, tmp_path, paths) == -signal.SIGKILL
    assert ended(train_with_a_worker, tmp_path, paths) == 0
    assert_same(tmp_path, expected)


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_checkpoint_is_refused(unbroken, tmp_path, damage):
    expected, paths = unbroken
    assert ended(tiny_training.train_until_half_saved, tmp_path, paths) == -signal.SIGKILL
    checkpoint = tmp_path / "checkpoints/last.ckpt"
    content = bytearray(checkpoint.read_bytes())
    if damage == "truncated":
        del content[-100:]
    else:
        weights = torch.load(checkpoint, weights_only=True)["state_dict"]["network.head.weight"]
        content[content.index(weights.numpy().tobytes())] ^= 1
    checkpoint.write_bytes(content)
    (tmp_path / "calls").unlink()
    assert ended(tiny_training.train_tiny, tmp_path, paths, nothing) == 0
    assert (tmp_path / "calls").stat().st_size == STEPS
    assert_same(tmp_path, expected)


def test_damage_is_told(tmp_path, caplog):
    folder = tmp_path / "checkpoints"
    assert resume.last_checkpoint(folder, "a", is_first=True) is None
    (folder / "last.ckpt").write_bytes(b"PK")
    assert resume.last_checkpoint(folder, "a", is_first=True) is None
    assert "last.ckpt is damaged: training starts anew" in caplog.text
    assert [path.name for path in folder.iterdir()] == ["stamp"]


def test_devices_after_the_first_only_look(tmp_path):
    """They may look while the first removes what another configuration left."""
    folder = tmp_path / "checkpoints"
    assert resume.last_checkpoint(folder, "a", is_first=False) is None
    assert not folder.exists()
    resume.last_checkpoint(folder, "a", is_first=True)
    (folder / "last.ckpt").write_bytes(b"")
    assert resume.last_checkpoint(folder, "b", is_first=False) is None
    assert (folder / "last.ckpt").exists()
