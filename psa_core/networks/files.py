"""Files of networks: written with the settings that rebuild them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from psa_core.networks import weights
from psa_core.networks.builder import build
from psa_core.networks.folding import fold_batch_norms
from psa_core.runtime.artifacts import REBUILD, remove_left, replacing


def write_network(
    path: str | Path, network: nn.Module, stage: str, settings: dict, classes: int
) -> None:
    """Write a network's weights and the arguments with which `build` rebuilds it."""
    saved = {
        "stage": stage,
        "settings": settings,
        "classes": classes,
        "state": {key: tensor.cpu() for key, tensor in network.state_dict().items()},
    }
    remove_left(path)
    # Given a path, torch.save would put its random name into the file: equal networks would differ.
    with replacing(path) as temporary, open(temporary, "wb") as file:
        torch.save(saved, file)


def read_network(path: str | Path, device: torch.device, **changes: object) -> nn.Module:
    """The network that `write_network` wrote, for inference only. Runs no code from the file.

    It is on the device, in evaluation mode and channels-last layout, with its batch norms folded
    into its convolutions.
    changes: settings that replace those of its training, for example `output_stride`.
    Raises ValueError, with the file, if it is damaged.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except weights.UNREADABLE as error:
        raise ValueError(f"{path}: not a readable network ({error}); {REBUILD}") from error
    settings = {**saved["settings"], **changes}
    network = build(saved["stage"], settings, saved["classes"], pretrained=False)
    network.load_state_dict(saved["state"])
    return fold_batch_norms(network.eval()).to(device, memory_format=torch.channels_last)


def import_weights(path: str | Path, stage: str, settings: dict, classes: int) -> None:
    """Write the network of a stage from the file in `settings["weights"]`, without training.

    Raises ValueError, with the file and the parameter, if one is missing or has another shape.
    """
    network = build(stage, settings, classes, pretrained=False)
    weights.load(network, stage, settings["weights"], complete=True)
    write_network(path, network, stage, settings, classes)
