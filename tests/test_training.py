"""The training loop with networks of two layers: optimizer, repeatability, what goes wrong."""

import logging
from pathlib import Path

import pytest
import torch
from seeds import SEED
from tiny_training import OPTIMIZER, TRANSFORM, Tiny, losses

from psa_core import cam, networks, training
from psa_core.augmentation import TrainingImages, training_transform
from psa_core.datasets.cache import write_cache

CPU = torch.device("cpu")


class StopAt:
    """Losses that raise, or change, at one call."""

    def __init__(self, call, error=None, value=None):
        self.call, self.error, self.value, self.calls = call, error, value, 0

    def __call__(self, network, images, labels):
        self.calls += 1
        terms = losses(network, images, labels)
        if self.calls == self.call:
            if self.error:
                raise self.error
            terms["loss"] = terms["loss"] * self.value
        return terms


@pytest.fixture
def images(write_images):
    """Eight images of two labels."""
    labels = [torch.tensor([float(i % 2), 1 - i % 2]) for i in range(8)]
    return TrainingImages(
        write_images(8, (20, 24)), labels, training_transform(**TRANSFORM), seed=SEED
    )


def fit(images, folder, losses=losses, *, epochs=3, stamp="a", seed=SEED, **options):
    """Train a new tiny network, four batches an epoch; returns its weights and the losses."""
    torch.manual_seed(3 + SEED)
    network = Tiny()
    options = {"batch_size": 2, "optimizer": OPTIMIZER, "device": CPU} | options
    table = training.fit(
        network, losses, images, epochs=epochs, seed=seed, folder=folder, stamp=stamp, **options
    )
    return network.state_dict(), table


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_parameter_groups():
    """As the release: x2 for biases, x10 for new layers, x20 for their biases without decay."""
    network = Tiny()
    network.backbone[0].bias.requires_grad_(False)
    options = {key: OPTIMIZER[key] for key in ("learning_rate", "new_layer_factor", "bias_factor")}
    groups = training.parameter_groups(network, **options, weight_decay=5e-4)
    found = {
        id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]
    }
    expected = {
        network.backbone[0].weight: (0.1, 5e-4),
        network.backbone[1].weight: (0.2, 0),
        network.backbone[1].bias: (0.2, 0),
        network.head.weight: (1.0, 5e-4),
        network.head.bias: (2.0, 0),
    }
    assert len(found) == sum(len(group["params"]) for group in groups) == len(expected)
    for parameter, factors in expected.items():
        assert found[id(parameter)] == pytest.approx(factors)


def test_poly_schedule():
    # (1 - step / 100)^0.9: .5^.9 = 2^-.9 = .535887, .1^.9 = 10^-.9 = .125893.
    factor = training.learning_rate_at("poly", 100)
    assert [factor(step) for step in (0, 50, 90, 100, 101)] == pytest.approx(
        [1, 0.535887, 0.125893, 0, 0], abs=1e-6
    )


def test_constant_schedule():
    factor = training.learning_rate_at("constant", 10)
    assert [factor(step) for step in (0, 5, 10)] == [1, 1, 1]


def test_training_follows_the_optimizer_step_by_step(images, tmp_path):
    """The same batches through torch's own SGD with factors written out."""
    found, _ = fit(images, tmp_path / "run", epochs=2, seed=5 + SEED)
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
    sampler = training.EpochSampler(8, seed=5 + SEED)
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
    assert same(found, network.state_dict())


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_interrupted_training_ends_as_an_unbroken_one(images, tmp_path, name, caplog):
    """Stopped in the third of four epochs: same weights and losses, to the last bit."""
    caplog.set_level(logging.INFO)
    optimizer = OPTIMIZER | {"name": name, "learning_rate": 0.01}
    whole, table = fit(images, tmp_path / "whole", epochs=4, optimizer=optimizer)
    stop = StopAt(call=4 * 2 + 2, error=RuntimeError("power cut"))
    with pytest.raises(RuntimeError, match=r"power cut"):
        fit(images, tmp_path / "broken", stop, epochs=4, optimizer=optimizer)
    counting = StopAt(call=-1)
    resumed, rows = fit(images, tmp_path / "broken", counting, epochs=4, optimizer=optimizer)
    assert counting.calls == 4 * 2  # epochs three and four
    assert same(resumed, whole)
    assert rows.equals(table)
    assert "going on from" in caplog.text


def test_finished_training_is_not_repeated(images, tmp_path):
    """Killed after the last epoch, before the network was written."""
    whole, table = fit(images, tmp_path / "run")
    counting = StopAt(call=-1)
    again, rows = fit(images, tmp_path / "run", counting)
    assert counting.calls == 0
    assert same(again, whole)
    assert rows.equals(table)


def test_another_stamp_starts_anew(images, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "run"
    first, _ = fit(images, folder, stamp={"learning_rate": 0.1})
    counting = StopAt(call=-1)
    again, _ = fit(images, folder, counting, stamp={"learning_rate": 0.2})
    assert counting.calls == 3 * 4
    assert same(first, again)
    assert "belongs to another configuration, data or code: training starts anew" in caplog.text


def test_stamp_does_not_depend_on_the_order_of_keys(images, tmp_path):
    fit(images, tmp_path / "run", stamp={"a": 1, "b": 2})
    counting = StopAt(call=-1)
    fit(images, tmp_path / "run", counting, stamp={"b": 2, "a": 1})
    assert counting.calls == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_result(images, tmp_path, workers):
    alone, table = fit(images, tmp_path / "alone", epochs=2)
    helped, rows = fit(images, tmp_path / "helped", epochs=2, workers=workers)
    assert same(alone, helped)
    assert rows.equals(table)


def test_seed_changes_the_result(images, tmp_path):
    first, _ = fit(images, tmp_path / "a", epochs=1)
    second, _ = fit(images, tmp_path / "b", epochs=1, seed=SEED + 1)
    assert not same(first, second)


def test_losses_are_means_over_an_epoch(images, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    seen = []

    def recorded(network, images, labels):
        terms = losses(network, images, labels)
        seen.append({name: term.item() for name, term in terms.items()})
        return terms

    _, table = fit(images, tmp_path / "run", recorded, epochs=2)
    assert table["epoch"].tolist() == [1, 2]
    assert sorted(table.columns) == ["epoch", "fit", "loss", "size"]
    for epoch in range(2):
        for name in ("fit", "loss", "size"):
            mean = sum(terms[name] for terms in seen[4 * epoch : 4 * epoch + 4]) / 4
            assert table[name][epoch] == pytest.approx(mean, rel=1e-5)
    assert f"epoch 2/2: fit {table['fit'][1]:.4f}, loss {table['loss'][1]:.4f}" in caplog.text


def test_network_is_left_ready_to_be_used(images, tmp_path):
    network = Tiny()
    training.fit(
        network, losses, images, epochs=1, batch_size=4, optimizer=OPTIMIZER, seed=SEED,
        folder=tmp_path / "run", stamp=0, device=CPU,
    )  # fmt: skip
    assert not network.training
    assert {parameter.device for parameter in network.parameters()} == {CPU}


def test_checkpoint_holds_no_code(images, tmp_path):
    fit(images, tmp_path / "run")
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert saved["epoch"] == 2
    assert saved["global_step"] == 12
    assert [path.name for path in (tmp_path / "run").glob("*.ckpt")] == ["last.ckpt"]


def test_fewer_images_than_a_batch_are_refused(images, tmp_path):
    with pytest.raises(
        ValueError, match=r"8 training images .* batch of 9: .*lower training.batch_size"
    ):
        fit(images, tmp_path / "run", batch_size=9)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_loss_that_is_not_finite_stops_before_its_checkpoint(images, tmp_path, value):
    with pytest.raises(ValueError, match=r"a loss is not finite.*lower optimizer.learning_rate"):
        fit(images, tmp_path / "run", StopAt(call=6, value=value))
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert saved["epoch"] == 0  # the sixth batch belongs to the second epoch
    assert all(tensor.isfinite().all() for tensor in saved["state_dict"].values())


NETWORK = {
    "backbone": "tf_efficientnet_lite0",
    "output_stride": 32,
    "frozen_stages": 2,
    "channels": None,
    "dropout": 0.5,
}


@pytest.fixture
def train(write_images, tmp_path):
    """Train a class activation network on four images, with the given changes."""
    paths = write_images(4, (40, 40))

    def call(
        losses=cam.losses,
        labels=((1, 0), (0, 1), (1, 1), (1, 0)),
        loss_settings=None,
        cache=None,
        digests=("code", "images"),
        **changes,
    ):
        settings = {
            **TRANSFORM,
            "crop_size": 32,
            "epochs": 2,
            "batch_size": 2,
            "optimizer": OPTIMIZER | {"learning_rate": 1e-3},
        } | changes
        training.train(
            "cam",
            losses,
            paths,
            [torch.tensor(label, dtype=torch.float32) for label in labels],
            loss_settings=loss_settings,
            classes=2,
            network=NETWORK,
            training=settings,
            seed=SEED,
            digests=digests,
            checkpoints=tmp_path / "checkpoints",
            output=tmp_path / "network.pt",
            losses_output=tmp_path / "losses.csv",
            device="cpu",
            devices=1,
            threads=1,
            cache=cache,
        )

    return call


def test_train_goes_on_only_with_the_same_weights(train, tmp_path, monkeypatch):
    """The file that the network starts with is known by its content."""
    path = tmp_path / "start.pt"
    network = networks.build("cam", NETWORK, 2, pretrained=False)
    networks.write(path, network, "cam", NETWORK, 2)
    monkeypatch.setitem(NETWORK, "weights", str(path))
    stamps = []

    def stop(trained, images, labels):
        stamps.append((tmp_path / "checkpoints" / "stamp").read_text())
        assert torch.equal(trained.classifier.weight, network.classifier.weight)
        raise RuntimeError("stop")

    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"stop"):
            train(stop)
    with torch.no_grad():
        network.classifier.weight.add_(1)
    networks.write(path, network, "cam", NETWORK, 2)
    with pytest.raises(RuntimeError, match=r"stop"):
        train(stop)
    assert stamps[0] == stamps[1] != stamps[2]


def test_train_goes_on_only_under_the_same_loss(train, tmp_path):
    stamps = []

    def stop(trained, images, labels, *, gamma):
        stamps.append((tmp_path / "checkpoints" / "stamp").read_text())
        raise RuntimeError(f"gamma {gamma}")

    for gamma in (5, 5, 3):
        with pytest.raises(RuntimeError, match=f"gamma {gamma}"):
            train(stop, loss_settings={"gamma": gamma})
    assert stamps[0] == stamps[1] != stamps[2]


def test_train_goes_on_only_with_images_of_the_same_size(train, tmp_path):
    paths = [str(tmp_path / f"images/{k}.png") for k in range(4)]
    stamps = []

    def stop(trained, images, labels):
        stamps.append((tmp_path / "checkpoints" / "stamp").read_text())
        raise RuntimeError("stop")

    for longest_side in (32, 32, 36, None):
        cache = tmp_path / "cache.h5"
        write_cache(cache, paths, longest_side=longest_side, threads=1)
        with pytest.raises(RuntimeError, match=r"stop"):
            train(stop, cache=cache)
    with pytest.raises(RuntimeError, match=r"stop"):
        train(stop)
    assert stamps[0] == stamps[1]
    assert len(set(stamps)) == 4


def test_train_writes_the_network_and_its_losses(train, tmp_path):
    train()
    trained = torch.load(tmp_path / "network.pt", weights_only=True)["state"]
    assert trained["classifier.weight"].shape == (2, 1280, 1, 1)
    pretrained = networks.build("cam", NETWORK, 2)
    stem, head = "backbone.network.conv_stem.weight", "backbone.network.conv_head.weight"
    start = pretrained.state_dict()
    assert torch.equal(trained[stem], start[stem])  # frozen
    assert not torch.equal(trained[head], start[head])
    lines = (tmp_path / "losses.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2"]
    assert not (tmp_path / "checkpoints").exists()


def test_norms_of_frozen_stages_keep_their_statistics(train, tmp_path):
    train()
    trained = torch.load(tmp_path / "network.pt", weights_only=True)["state"]
    start = networks.build("cam", NETWORK, 2).state_dict()
    frozen, learning = "backbone.network.bn1.running_mean", "backbone.network.bn2.running_mean"
    assert torch.equal(trained[frozen], start[frozen])
    assert not torch.equal(trained[learning], start[learning])


@pytest.mark.parametrize(
    "changes",
    [
        {"longest_side": [32, 40]},
        {"optimizer": OPTIMIZER | {"learning_rate": 2e-3}},
        {"labels": ((1, 0), (0, 1), (1, 1), (0, 1))},
        {"digests": ("code", "others")},
    ],
    ids=["transform", "optimizer", "labels", "digests"],
)
def test_train_goes_on_only_with_the_same_settings_data_and_code(train, tmp_path, changes):
    stamps = []

    def stop(network, images, labels):
        stamps.append((Path(tmp_path) / "checkpoints" / "stamp").read_text())
        raise RuntimeError("stop")

    for options in ({}, {}, changes):
        with pytest.raises(RuntimeError, match=r"stop"):
            train(stop, **options)
    assert stamps[0] == stamps[1] != stamps[2]
