"""The networks of the paper and of its release, for the tests of their backbones."""

import torch
from published import random_state

from psa_core.networks import builder, weights

RELEASE_CAM = {"channels": None, "dropout": 0.5}
RELEASE_AFFINITY = {"channels": [64, 128, 256], "group_norm": False}
OURS_RESNET38 = {
    "architecture": "atrous",
    "level_channels": None,
    "channels": 512,
    "dilation": 12,
}


def build(stage, backbone, settings, classes=20):
    """A network on torch's meta device: shapes without memory or time."""
    settings = {"backbone": backbone, "output_stride": 8, "frozen_stages": 2} | settings
    with torch.device("meta"):
        return builder.build(stage, settings, classes, pretrained=False)


def published_shapes(stage, backbone, settings):
    """Shapes by published name."""
    network = build(stage, backbone, settings)
    names, state = weights.published_names(network, stage), network.state_dict()
    return {name: tuple(state[key].shape) for key, name in names.items()}


def with_random_weights(stage, backbone, settings, shapes):
    """A network in double precision with random weights of these shapes, and those weights.

    The backbone's buffers, which are not published, stay on the meta device.
    """
    network = build(stage, backbone, settings)
    state = {name: tensor.double() for name, tensor in random_state(shapes).items()}
    names = weights.published_names(network, stage)
    network.load_state_dict({k: state[n] for k, n in names.items()}, strict=False, assign=True)
    return network.eval(), state
