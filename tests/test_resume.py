"""Trainings that are really killed, at any moment, and resume."""

import random
import shutil
import signal
import time

import pytest
import tiny_training
import torch
from PIL import Image
from seeds import SEED
from tiny_training import start, train_tiny, train_until_half_saved, train_until_signalled

from psa_core.training import resume

STEPS = 12


def ended(target, *arguments) -> int:
    """Exit status of a process; minus the signal's number where that ended it."""
    process = start(target, *arguments)
    process.join(600)  # a training that hangs; a busy machine needs a minute
    assert process.exitcode is not None
    return process.exitcode


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Eight images, and the folder of a training on them that nothing interrupted."""
    folder = tmp_path_factory.mktemp("unbroken")
    rng = random.Random(5 + SEED)
    paths = [folder / f"{i}.png" for i in range(8)]
    for path in paths:
        Image.frombytes("RGB", (24, 20), rng.randbytes(24 * 20 * 3)).save(path)
    assert ended(train_tiny, folder, paths) == 0
    return folder, paths


def assert_same(folder, expected):
    for name in ("network.pt", "losses.csv"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes()


def steps_run(folder) -> int:
    calls = folder / "calls"
    return calls.stat().st_size if calls.exists() else 0


@pytest.mark.slow
def test_killed_at_random_moments_ends_as_an_unbroken_training(unbroken, tmp_path):
    """kill -9 after steps that are drawn from a seed, and at any moment of what follows them.

    No run is allowed all twelve steps, so only one that resumes an earlier run can end.
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


@pytest.fixture(scope="module")
def half_saved(unbroken, tmp_path_factory):
    """The folder of a training that was killed with half of its second checkpoint written."""
    folder = tmp_path_factory.mktemp("half_saved")
    assert ended(train_until_half_saved, folder, unbroken[1]) == -signal.SIGKILL
    (folder / "calls").unlink()
    return folder


def test_killed_while_it_saves_it_has_the_checkpoint_before(unbroken, half_saved, tmp_path):
    """The worker of the training that resumes takes images before Lightning names the epoch."""
    expected, paths = unbroken
    shutil.copytree(half_saved, tmp_path, dirs_exist_ok=True)
    checkpoint = tmp_path / "checkpoints/last.ckpt"
    assert resume.steps_done(checkpoint) == 4
    assert len(list(checkpoint.parent.glob(".last*"))) == 1  # the half
    assert ended(train_tiny, tmp_path, paths) == 0
    assert steps_run(tmp_path) == STEPS - 4
    assert_same(tmp_path, expected)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_a_signal_saves_after_the_current_step(unbroken, tmp_path, name):
    """SLURM signals all processes, the loader's workers too; the sixth step is within an epoch."""
    expected, paths = unbroken
    assert ended(train_until_signalled, tmp_path, paths, getattr(signal, name)) == 1
    assert resume.steps_done(tmp_path / "checkpoints/last.ckpt") == 6
    assert not (tmp_path / "network.pt").exists()
    (tmp_path / "calls").unlink()
    assert ended(train_tiny, tmp_path, paths) == 0
    assert steps_run(tmp_path) == STEPS - 6
    assert_same(tmp_path, expected)


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_checkpoint_is_refused(half_saved, tmp_path, damage, caplog):
    folder = shutil.copytree(half_saved / "checkpoints", tmp_path / "checkpoints")
    checkpoint = folder / "last.ckpt"
    assert resume.last_checkpoint(folder, 0, is_first=False) == checkpoint
    content = bytearray(checkpoint.read_bytes())
    if damage == "truncated":
        del content[-100:]
    else:
        weights = torch.load(checkpoint, weights_only=True)["state_dict"]["network.head.weight"]
        content[content.index(weights.numpy().tobytes())] ^= 1
    checkpoint.write_bytes(content)
    assert resume.last_checkpoint(folder, 0, is_first=True) is None
    assert "last.ckpt is damaged: training starts again" in caplog.text
    assert [path.name for path in folder.iterdir()] == ["stamp"]


def test_devices_after_the_first_only_look(tmp_path):
    """They may look while the first deletes what another configuration left."""
    folder = tmp_path / "checkpoints"
    assert resume.last_checkpoint(folder, "a", is_first=False) is None
    assert not folder.exists()
    resume.last_checkpoint(folder, "a", is_first=True)
    (folder / "last.ckpt").write_bytes(b"")
    assert resume.last_checkpoint(folder, "b", is_first=False) is None
    assert (folder / "last.ckpt").exists()
