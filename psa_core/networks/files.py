"""Network files: safetensors whose metadata describe the network and suffice to rebuild it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from psa_core import __version__
from psa_core.datasets.formats.reading import reading_of
from psa_core.errors import UserError
from psa_core.networks import weights
from psa_core.networks.builder import build
from psa_core.networks.depthwise import avoid_cudnn
from psa_core.networks.folding import fold_batch_norms
from psa_core.networks.metadata import encode, is_safetensors, read_metadata, reading_problem
from psa_core.runtime.artifacts import remove_left, replacing


def write_network(
    path: str | Path,
    network: nn.Module,
    stage: str,
    settings: dict,
    classes: Sequence[str],
    **about: object,
) -> None:
    """Write a network's weights and metadata. Equal networks give equal bytes.

    stage: "cam", "affinity" or "segmentation". settings: the arguments with which `build` rebuilds
    it. classes: names of the object classes in the order of their indices.
    about: more builtins for the metadata, for example `dataset`, the name of the data set.
    """
    own_weights = Path(settings.get("weights", "imagenet")).name  # without the user's folders
    metadata = {
        "stage": stage,
        "classes": list(classes),
        "settings": {**settings, "weights": own_weights},
        "preprocessing": _preprocessing(network),
        "versions": {"psa_core": __version__, **{p: version(p) for p in ("torch", "timm")}},
        **about,
    }
    write_tensors(path, network.state_dict(), metadata)


def write_tensors(path: str | Path, tensors: dict[str, torch.Tensor], metadata: dict) -> None:
    """Write a network file from its tensors and metadata, as `read_tensors` returned them."""
    remove_left(path)
    whole = {key: tensor.cpu().contiguous() for key, tensor in tensors.items()}
    with replacing(path) as temporary:
        save_file(whole, temporary, encode(metadata))


def _preprocessing(network: nn.Module) -> dict:
    """What the network itself does first to the images float [B, 3, H, W] that it takes."""
    owner = network if hasattr(network, "mean") else network.backbone
    if hasattr(owner, "std"):
        mean, std = owner.mean.flatten(), owner.std.flatten()
    else:  # VGG16
        mean, std = owner.mean.flatten() / 255, torch.full((3,), 1 / 255)
    rounded = {"mean": mean, "std": std}
    return {"channels": "RGB", "range": [0, 1]} | {
        key: [round(value, 6) for value in values.tolist()] for key, values in rounded.items()
    }


def read_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    """The weights of a network file by name. Raises UserError as `read_metadata` does."""
    read_metadata(path)
    return load_file(path)


def read_network(path: str | Path, device: torch.device, **changes: object) -> nn.Module:
    """The network that `write_network` wrote, for inference only. Runs no code from the file.

    It is on the device, in evaluation mode and channels-last layout, with its batch norms folded
    into its convolutions.
    changes: settings that replace those of its training, for example `output_stride`.
    Raises UserError, with the file, if it is damaged or not a network of this workflow.
    """
    metadata = read_metadata(path)
    settings = {**metadata["settings"], **changes}
    network = build(metadata["stage"], settings, len(metadata["classes"]), pretrained=False)
    network.load_state_dict(load_file(path))
    network = fold_batch_norms(network.eval()).to(device, memory_format=torch.channels_last)
    return avoid_cudnn(network) if device.type == "cuda" else network


def import_weights(
    path: str | Path,
    stage: str,
    settings: dict,
    classes: Sequence[str],
    images: dict,
) -> None:
    """Write the network of a stage from the file in `settings["weights"]`, without training.

    classes: see `write_network`. images: the fields of `formats.reading.Reading`.
    Raises UserError, with the file, if a parameter is missing or has another shape, or if it is a
    network for other classes (of this stage) or for images that are read in another way.
    """
    source = settings["weights"]
    network = build(stage, settings, len(classes), pretrained=False)
    weights.load(network, stage, source, complete=True)
    if is_safetensors(source):
        metadata = read_metadata(source)
        known = metadata["classes"]
        if problem := reading_problem(metadata, reading_of(images)):
            raise UserError(f"{source}: {problem}")
        if known != list(classes) and stage != "affinity":  # which does not know classes
            raise UserError(
                f"{source}: a network for the classes {', '.join(known)}, but the data set has "
                f"{', '.join(classes)}; set dataset.classes to those of the network"
            )
    write_network(path, network, stage, settings, classes, images=images)
