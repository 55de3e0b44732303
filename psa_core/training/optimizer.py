"""Optimizers: groups of parameters with learning rates of their own, and the schedules."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


def build_optimizer(
    network: nn.Module, steps: int, *, name: str, momentum: float, schedule: str, **rates: float
) -> tuple[torch.optim.Optimizer, LambdaLR]:
    """Optimizer for a network, and its schedule, which advances after each step.

    steps: number of steps of the whole training.
    name: "sgd" (the only one that uses `momentum`), "adam" or "adamw".
    schedule: see `learning_rate_at`. rates: the keyword arguments of `parameter_groups`.
    """
    groups = parameter_groups(network, **rates)
    if name == "sgd":
        optimizer = torch.optim.SGD(groups, momentum=momentum)
    else:
        optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](groups)
    return optimizer, LambdaLR(optimizer, learning_rate_at(schedule, steps))


def parameter_groups(
    network: nn.Module,
    *,
    learning_rate: float,
    new_layer_factor: float,
    bias_factor: float,
    weight_decay: float,
) -> list[dict]:
    """Optimizer groups, with weights and biases of backbone and new layers apart (as the release).

    network: its `backbone` holds the pretrained layers; all others are new. Frozen parameters are
    in no group.
    New layers learn `new_layer_factor` times faster than the backbone, and biases `bias_factor`
    times faster than weights. One-dimensional parameters (biases and norms) count as biases and
    have no weight decay; nor have those that a transformer names as `undecayed`.
    """
    groups: dict[tuple[bool, bool, bool], list[nn.Parameter]] = {}
    backbone = {id(parameter) for parameter in network.backbone.parameters()}
    undecayed = {id(parameter) for parameter in getattr(network.backbone, "undecayed", list)()}
    for parameter in network.parameters():
        if parameter.requires_grad:
            is_bias = parameter.ndim <= 1
            decays = not is_bias and id(parameter) not in undecayed
            key = (id(parameter) not in backbone, is_bias, decays)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": learning_rate
            * (new_layer_factor if is_new else 1)
            * (bias_factor if is_bias else 1),
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (is_new, is_bias, decays), parameters in groups.items()
    ]


def learning_rate_at(schedule: str, steps: int) -> Callable[[int], float]:
    """Factor on the learning rates as a function of the number of steps done.

    schedule: "poly", (1 - step / steps)^0.9 as in the release, or "constant", 1.
    """
    if schedule == "poly":
        return lambda step: max(0.0, 1 - step / steps) ** 0.9
    return lambda step: 1.0
