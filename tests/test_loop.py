"""The training loop, with a network of two layers: repeatable to the last bit; what it refuses."""

import json
import logging
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from seeds import SEED
from tiny_training import ALONE, OPTIMIZER, TRANSFORM, Tiny, losses, tiny_images

from psa_core.datasets.cache import write_cache
from psa_core.datasets.index import ImageRow
from psa_core.method import cam
from psa_core.networks.builder import build
from psa_core.networks.files import write_network
from psa_core.runtime import stages
from psa_core.training import loop, report, workers
from psa_core.training.augmentation import EpochSampler

SETTINGS = {"epochs": 3, "batch_size": 2, "optimizer": OPTIMIZER, "machine": ALONE}
STAMP = {"a": 1, "b": 2}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(7 + SEED)
    paths = [folder / f"{i}.png" for i in range(8)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    return paths


def fit(paths, folder, losses=losses, *, seed=SEED, stamp=STAMP, **changes):
    """Train a new tiny network, four steps per epoch; returns the network and the mean losses."""
    torch.manual_seed(3 + SEED)
    network = Tiny()
    images = tiny_images(paths, seed)
    table = loop.fit(network, losses, images, folder=folder, stamp=stamp, **SETTINGS | changes)
    return network, table


@pytest.fixture(scope="module")
def whole(paths, tmp_path_factory):
    """(network, losses, folder of the checkpoint) of a training of three epochs."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return *fit(paths, folder), folder


@pytest.fixture
def copied(whole, tmp_path):
    """The checkpoint of that training, to resume from."""
    return shutil.copytree(whole[2], tmp_path / "run")


class Calls:
    """Counts the steps; raises an error at one of them."""

    def __init__(self, fails_at=None):
        self.count, self.fails_at = 0, fails_at

    def __call__(self, network, images, labels):
        self.count += 1
        if self.count == self.fails_at:
            raise RuntimeError("power cut")
        return losses(network, images, labels)


def same(network, other):
    a, b = network.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_training_follows_the_optimizer_step_by_step(paths, tmp_path):
    """The same batches, loaded without workers, through torch's own SGD with factors spelt out."""
    found, _ = fit(paths, tmp_path / "run", epochs=2, seed=5 + SEED)
    torch.manual_seed(3 + SEED)
    network = Tiny().train().to(memory_format=torch.channels_last)  # rounds as `fit` does
    weights, biases = [], []
    for name, parameter in network.backbone.named_parameters():
        (weights if name == "0.weight" else biases).append(parameter)
    optimizer = torch.optim.SGD(
        [
            {"params": weights, "lr": 0.1, "weight_decay": 5e-4},
            {"params": biases, "lr": 0.2},
            {"params": [network.head.weight], "lr": 1.0, "weight_decay": 5e-4},
            {"params": [network.head.bias], "lr": 2.0},
        ],
        momentum=0.9,
    )
    rates = [group["lr"] for group in optimizer.param_groups]
    images, sampler = tiny_images(paths, 5 + SEED), EpochSampler(8, seed=5 + SEED)
    step = 0
    for epoch in range(2):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        for start in range(0, 8, 2):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * (1 - step / 8) ** 0.9
            batch = [images[key] for key in keys[start : start + 2]]
            torch.manual_seed(5 + SEED + step)  # dropout
            optimizer.zero_grad()
            losses(network, *map(torch.stack, zip(*batch, strict=True)))["loss"].backward()
            optimizer.step()
            step += 1
    assert same(found, network)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_interrupted_training_ends_as_an_unbroken_one(paths, tmp_path, name, caplog):
    """Stopped in the third of four epochs: same weights and losses, to the last bit."""
    caplog.set_level(logging.INFO)
    options = {"epochs": 4, "optimizer": OPTIMIZER | {"name": name, "learning_rate": 0.01}}
    unbroken, table = fit(paths, tmp_path / "whole", **options)
    with pytest.raises(RuntimeError, match=r"power cut"):
        fit(paths, tmp_path / "broken", Calls(fails_at=4 * 2 + 2), **options)
    calls = Calls()
    resumed, rows = fit(paths, tmp_path / "broken", calls, **options)
    assert calls.count == 4 * 2  # epochs three and four
    assert same(resumed, unbroken)
    assert rows.equals(table)
    assert "resuming from" in caplog.text


def test_a_long_epoch_says_how_far_it_is(paths, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(report, "EVERY", -1.0)
    fit(paths, tmp_path, epochs=1)
    steps = [line.split(",")[0] for line in caplog.messages if line.startswith("step ")]
    assert steps == [f"step {number}/4" for number in range(1, 5)]


def test_finished_training_is_not_repeated(paths, whole, copied):
    """Killed after the last epoch, before the network was written; keys come in any order."""
    calls = Calls()
    network, table = fit(paths, copied, calls, stamp=dict(reversed(STAMP.items())))
    assert calls.count == 0
    assert same(network, whole[0])
    assert table.equals(whole[1])


def test_another_stamp_starts_again(paths, whole, copied, caplog):
    caplog.set_level(logging.INFO)
    calls = Calls()
    network, _ = fit(paths, copied, calls, stamp=STAMP | {"b": 3})
    assert calls.count == 3 * 4
    assert same(network, whole[0])
    assert "is from another configuration, data or code: training starts again" in caplog.text


@pytest.mark.parametrize(("device", "expected"), [("cpu", [1, 1, 4]), ("cuda", [1, 1, 7])])
def test_a_gpu_leaves_all_cores_but_one_to_the_workers(paths, device, expected):
    images, device = tiny_images(paths), torch.device(device)
    found = [workers.number_of_workers(images, 2, device=device, threads=n) for n in (1, 2, 8)]
    assert found == expected


def test_workers_do_not_change_the_result(paths, whole, tmp_path, monkeypatch):
    """Four threads have two of them, one thread one; the network itself computes on one."""
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    network, table = fit(paths, tmp_path / "run", machine=ALONE._replace(threads=4))
    assert same(network, whole[0])
    assert table.equals(whole[1])


def test_little_shared_memory_does_not_change_the_result(
    paths, whole, tmp_path, monkeypatch, caplog
):
    """A sample has 3 x 16 x 16 float32 and a label of 8 bytes or less; a batch has two."""
    monkeypatch.setattr(workers, "_free", lambda: 2 * 3 * 3 * 16 * 16 * 4)
    network, table = fit(paths, tmp_path / "run")
    assert same(network, whole[0])
    assert table.equals(whole[1])
    assert "images are read by the training itself" in caplog.text
    alone = {"device": torch.device("cpu"), "threads": 1}
    monkeypatch.setattr(workers, "_free", lambda: 2 * 3 * (3 * 16 * 16 * 4 + 8))
    assert workers.number_of_workers(tiny_images(paths), 2, **alone) == 1
    assert workers.number_of_workers(tiny_images(paths), 2, **alone, sharers=2) == 0


def test_seed_changes_the_result(paths, whole, tmp_path):
    network, _ = fit(paths, tmp_path / "run", seed=SEED + 1)
    assert not same(network, whole[0])


def test_network_is_left_ready_to_be_used(whole):
    network = whole[0]
    assert not network.training
    assert {parameter.device for parameter in network.parameters()} == {torch.device("cpu")}


def test_checkpoint_holds_no_code(whole):
    saved = torch.load(whole[2] / "last.ckpt", weights_only=True)
    assert saved["epoch"] == 2
    assert saved["global_step"] == 12
    assert [path.name for path in whole[2].glob("*.ckpt")] == ["last.ckpt"]


def test_fewer_images_than_a_batch_are_refused(paths, tmp_path):
    with pytest.raises(
        ValueError, match=r"8 training images .* batch of 9: .*lower training.batch_size"
    ):
        fit(paths, tmp_path / "run", batch_size=9)


def test_devices_must_divide_a_batch_equally(paths, tmp_path):
    with pytest.raises(ValueError, match=r"batch_size 4 cannot be divided equally among 3 devices"):
        fit(paths, tmp_path / "run", batch_size=4, machine=ALONE._replace(devices=3))


NETWORK = {
    "backbone": "tf_efficientnet_lite0",
    "output_stride": 32,
    "frozen_stages": 2,
    "channels": None,
    "dropout": 0.5,
}
LABELS = ((1, 0), (0, 1), (1, 1), (1, 0))


@pytest.fixture
def train(paths, tmp_path):
    """Train a class activation network on four images, with changes of the section `training`."""

    def call(losses=cam.losses, *, labels=LABELS, cache=None, digest="a", settings=(), **changes):
        training = {
            "epochs": 2,
            "least_steps": 0,
            "batch_size": 2,
            "optimizer": OPTIMIZER | {"learning_rate": 1e-3},
        }
        training |= {**TRANSFORM, "crop_size": 32, **changes}
        rows = [ImageRow(path.stem, str(path), digest, (), (), 20, 24) for path in paths[:4]]
        targets = [torch.tensor(label, dtype=torch.float32) for label in labels]
        loop.train(
            "cam",
            losses,
            loop.Examples(rows, targets, ["cat", "dog"], "animals", cache),
            {
                "network": NETWORK,
                "training": training,
                "losses": {},
                "seed": SEED,
                **dict(settings),
            },
            ALONE,
            loop.Outputs(
                tmp_path / "network.safetensors", tmp_path / "losses.csv", tmp_path / "checkpoints"
            ),
        )

    return call


def test_train_writes_the_network_and_its_losses(train, tmp_path):
    """Frozen stages keep their weights and the statistics of their norms."""
    train()
    trained = load_file(tmp_path / "network.safetensors")
    assert trained["classifier.weight"].shape == (2, 1280, 1, 1)
    start = build("cam", NETWORK, 2).state_dict()  # pretrained
    for frozen in ("conv_stem.weight", "bn1.running_mean"):
        assert torch.equal(
            trained[f"backbone.network.{frozen}"], start[f"backbone.network.{frozen}"]
        )
    for learns in ("conv_head.weight", "bn2.running_mean"):
        name = f"backbone.network.{learns}"
        assert not torch.equal(trained[name], start[name])
    lines = (tmp_path / "losses.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2"]
    assert not (tmp_path / "checkpoints").exists()


@pytest.fixture
def fitted(train, monkeypatch):
    """Calls `train` with changes; returns the (network, stamp) with which it calls `fit`."""

    def call(**changes):
        calls = []
        monkeypatch.setattr(
            loop, "fit", lambda network, *_, stamp, **__: calls.append((network, stamp))
        )
        train(**changes)
        return calls[0]

    return call


@pytest.mark.parametrize(
    "changes",
    [
        {"longest_side": [32, 40]},
        {"optimizer": OPTIMIZER | {"learning_rate": 2e-3}},
        {"labels": ((1, 0), (0, 1), (1, 1), (0, 1))},
        {"digest": "b"},
        {"settings": {"losses": {"gamma": 3}}},
        {"settings": {"code": "another"}},
        {"settings": {"weights": "of another file"}},
        {"settings": {"seed": SEED + 1}},
    ],
    ids=["transform", "optimizer", "labels", "images", "losses", "code", "weights", "seed"],
)
def test_train_resumes_only_with_the_same_settings_data_and_code(fitted, changes):
    stamps = [json.dumps(fitted(**each)[1]) for each in ({}, {}, changes)]
    assert stamps[0] == stamps[1] != stamps[2]


def test_train_resumes_only_with_images_of_the_same_size(fitted, paths, tmp_path):
    stamps = [json.dumps(fitted()[1])]
    for longest_side in (32, 32, 36, None):
        cache = tmp_path / "cache.h5"
        write_cache(cache, list(map(str, paths)), longest_side=longest_side, threads=1)
        stamps.append(json.dumps(fitted(cache=cache)[1]))
    assert stamps[1] == stamps[2]
    assert len(set(stamps)) == 4


def test_train_starts_with_the_weights_of_a_file(fitted, tmp_path, monkeypatch):
    path, network = tmp_path / "start.safetensors", build("cam", NETWORK, 2, pretrained=False)
    write_network(path, network, "cam", NETWORK, ["cat", "dog"])
    monkeypatch.setitem(NETWORK, "weights", str(path))
    assert same(fitted()[0], network)


@pytest.mark.parametrize(
    ("images", "devices", "expected"),
    [
        (1200, 1, (5, 1, 16)),  # 75 steps in each of 5 passes: 375
        (38, 1, (5, 30, 16)),  # 2 steps in each of 5 x 30 passes: 300
        (9, 1, (5, 60, 9)),
        (9, 2, (5, 60, 8)),
    ],
)
def test_few_images_are_passed_over_more_often(images, devices, expected):
    found = stages.length_of(images, 5, 16, 300, devices=devices)
    assert tuple(found[key] for key in ("epochs", "passes", "batch_size")) == expected


def test_an_epoch_of_several_passes_has_the_batches_of_that_many_epochs():
    def keys(epoch, passes):
        sampler = EpochSampler(11, seed=3, batch_size=4, passes=passes)
        sampler.set_epoch(epoch)
        assert len(sampler) == 8 * passes
        return list(sampler)

    assert keys(1, 3) == keys(3, 1) + keys(4, 1) + keys(5, 1)
