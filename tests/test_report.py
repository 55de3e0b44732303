"""The losses of a training, epoch by epoch, against means of those that each step returned."""

import logging

import pytest
import torch
from tiny_training import ALONE, OPTIMIZER, Tiny, losses, tiny_images

from psa_core.training.loop import fit


@pytest.fixture
def train(write_images, tmp_path):
    """Train two epochs of four steps each."""
    images = tiny_images(write_images(8, (20, 24)))

    def call(losses):
        return fit(
            Tiny(), losses, images, epochs=2, batch_size=2, optimizer=OPTIMIZER, machine=ALONE,
            folder=tmp_path / "run", stamp=0,
        )  # fmt: skip

    return call


def test_losses_are_means_over_an_epoch(train, caplog):
    caplog.set_level(logging.INFO)
    seen = []

    def recorded(network, images, labels):
        terms = losses(network, images, labels)
        seen.append({name: term.item() for name, term in terms.items()})
        return terms

    table = train(recorded)
    assert table["epoch"].tolist() == [1, 2]
    assert sorted(table.columns) == ["epoch", "fit", "loss", "size"]
    for epoch in range(2):
        for name in ("fit", "loss", "size"):
            mean = sum(terms[name] for terms in seen[4 * epoch : 4 * epoch + 4]) / 4
            assert table[name][epoch] == pytest.approx(mean, rel=1e-5)
    assert f"epoch 2/2: fit {table['fit'][1]:.4f}, loss {table['loss'][1]:.4f}" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_loss_that_is_not_finite_stops_before_its_checkpoint(train, tmp_path, value):
    calls = []

    def broken(network, images, labels):
        calls.append(1)
        terms = losses(network, images, labels)
        return terms | {"loss": terms["loss"] * (value if len(calls) == 6 else 1)}

    with pytest.raises(ValueError, match=r"a loss is not finite.*lower optimizer.learning_rate"):
        train(broken)
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert saved["epoch"] == 0  # the sixth batch belongs to the second epoch
    assert all(tensor.isfinite().all() for tensor in saved["state_dict"].values())
