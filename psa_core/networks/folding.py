"""Batch norms that do not train, taken into the convolutions before them."""

from __future__ import annotations

import copy
import logging
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

log = logging.getLogger(__name__)
Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def fold_batch_norms(network: Network) -> Network:
    """A copy of a network in evaluation mode with its batch norms taken into its convolutions.

    Saves a pass over the activations for each norm. One forward pass of a small image shows which
    convolution feeds which norm, so no network has to be known; a network whose output then differs
    by over 1e-4 of its greatest value (where a convolution feeds more than its norm) is returned
    as it is.
    """
    image = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    expected = network(image)
    folded = copy.deepcopy(network)
    for convolution, norm in _pairs(network, image):
        _fold(folded, convolution, norm)
    if (folded(image) - expected).abs().max() <= 1e-4 * expected.abs().max():
        return folded
    log.info("batch norms are not taken into the convolutions: the outputs would change")
    return network


def _pairs(network: nn.Module, image: torch.Tensor) -> list[tuple[str, str]]:
    """Names of (convolution, norm) of which the one's output is the other's input."""
    produced: dict[
        int, tuple[str, torch.Tensor]
    ] = {}  # the tensor is kept, so its id stays its own
    pairs, hooks = [], []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):

            def keep(_, __, output, name=name):
                produced[id(output)] = name, output

            hooks.append(module.register_forward_hook(keep))
        elif isinstance(module, nn.BatchNorm2d):

            def match(_, inputs, name=name):
                if id(inputs[0]) in produced:
                    pairs.append((produced[id(inputs[0])][0], name))

            hooks.append(module.register_forward_pre_hook(match))
    network(image)
    for hook in hooks:
        hook.remove()
    return pairs


def _fold(network: nn.Module, convolution: str, norm: str) -> None:
    conv, bn = network.get_submodule(convolution), network.get_submodule(norm)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    parent, _, child = norm.rpartition(".")
    # timm's norms hold the activation that follows them.
    setattr(network.get_submodule(parent), child, getattr(bn, "act", nn.Identity()))
