"""Groups of parameters and learning-rate schedules, by hand."""

import pytest
import torch
from tiny_training import OPTIMIZER, Tiny

from psa_core.training import optimizer


def test_parameter_groups():
    """As the release: x2 for biases, x10 for new layers, x20 for their biases without decay."""
    network = Tiny()
    network.backbone[0].bias.requires_grad_(False)
    options = {key: OPTIMIZER[key] for key in ("learning_rate", "new_layer_factor", "bias_factor")}
    groups = optimizer.parameter_groups(network, **options, weight_decay=5e-4)
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
    factor = optimizer.learning_rate_at("poly", 100)
    assert [factor(step) for step in (0, 50, 90, 100, 101)] == pytest.approx(
        [1, 0.535887, 0.125893, 0, 0], abs=1e-6
    )


def test_constant_schedule():
    factor = optimizer.learning_rate_at("constant", 10)
    assert [factor(step) for step in (0, 5, 10)] == [1, 1, 1]


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizers_by_name(name):
    network = Tiny()
    settings = OPTIMIZER | {"name": name, "schedule": "constant"}
    found, scheduler = optimizer.build_optimizer(network, 10, **settings)
    assert type(found) is {
        "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD
    }[name]  # fmt: skip
    assert found.defaults.get("momentum") == (0.9 if name == "sgd" else None)
    assert scheduler.get_last_lr() == [group["lr"] for group in found.param_groups]
