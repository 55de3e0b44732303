"""`psa export-onnx`: a network as ONNX, which runs without torch."""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from psa_core.errors import UserError
from psa_core.networks.files import read_network
from psa_core.networks.metadata import read_metadata
from psa_core.runtime.artifacts import replacing

log = logging.getLogger(__name__)

OPSET = 18
TOLERANCE = 1e-4  # of the largest output, between torch and onnxruntime
OUTPUTS = {"cam": ["logits", "activations"], "affinity": ["features"], "segmentation": ["logits"]}


class Activations(nn.Module):
    """A CAM network that also returns its activations, whose means are its logits."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        activations = self.network.activations(images)
        return activations.mean((2, 3)), activations


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", type=Path, help="model.safetensors or network.safetensors")
    parser.add_argument("output", type=Path, help="file to write, for example model.onnx")


def run(options: argparse.Namespace) -> int:
    """Export a network and compare it with torch at two sizes."""
    difference = export(options.network, options.output)
    log.info("%s differs from torch by at most %.1e of the output", options.output, difference)
    return 0


@torch.no_grad()
def export(path: Path, output: Path) -> float:
    """Write a network as ONNX, with its metadata as JSON in the property `psa`.

    The input `images` is float32 [B, 3, H, W], RGB in [0, 1]. H and W are multiples of the property
    `stride`. Outputs: `logits` [B, C + 1, h, w] of a segmentation model; `logits` [B, C] and
    `activations` [B, C, h, w] of a CAM network; `features` [B, D, h, w] of AffinityNet.
    Returns the largest difference from torch at two sizes, relative to the largest output.
    Raises ValueError if it is above TOLERANCE, UserError for prototypes.safetensors, and for a
    network that torch cannot export, such as a vision transformer; nothing is written then.
    """
    metadata = read_metadata(path)
    if metadata["stage"] not in OUTPUTS:
        raise UserError(
            f"{path}: made for the class maps of this workflow alone; choose a network.safetensors "
            "or model.safetensors"
        )
    network = read_network(path, torch.device("cpu")).to(memory_format=torch.contiguous_format)
    stride, names = network.backbone.stride, OUTPUTS[metadata["stage"]]
    if metadata["stage"] == "cam":
        network = Activations(network).eval()  # torch.onnx.export restores the wrapper's mode
    axes = {name: {0: "batch", 2: f"{name}_height", 3: f"{name}_width"} for name in names}
    axes["images"] = {0: "batch", 2: "height", 3: "width"}
    if metadata["stage"] == "cam":
        axes["logits"] = {0: "batch"}
    with replacing(output) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # The newer exporter takes minutes instead of a second, for the same graph.
            try:
                torch.onnx.export(
                    network,
                    (torch.rand(2, 3, 2 * stride, 3 * stride),),
                    temporary,
                    dynamo=False,
                    opset_version=OPSET,
                    input_names=["images"],
                    output_names=names,
                    dynamic_axes=axes,
                )
            except RuntimeError as error:
                reason = str(error).partition("\n")[0]
                raise UserError(
                    f"{path}: torch cannot export {metadata['settings']['backbone']} as ONNX "
                    f"({reason}); use psa predict"
                ) from error
        model = onnx.load(temporary)
        properties = {"psa": json.dumps(metadata), "stride": str(stride)}
        onnx.helper.set_model_props(model, properties)
        onnx.save(model, temporary)
        sizes = [(1, 3, 3 * stride, 2 * stride), (3, 3, 4 * stride, 5 * stride)]
        difference = max(_difference(network, temporary, size) for size in sizes)
        if not difference <= TOLERANCE:  # NaN, too
            raise ValueError(
                f"{path}: the exported network differs from torch by {difference:.1e} of its "
                f"output, more than {TOLERANCE}; please report this with the output of psa info"
            )
    return difference


@torch.inference_mode()
def _difference(network: nn.Module, exported: Path, size: tuple[int, ...]) -> float:
    images = torch.rand(size, generator=torch.Generator().manual_seed(0))
    expected = network(images)
    expected = expected if isinstance(expected, tuple) else (expected,)
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    found = session.run(None, {"images": images.numpy()})
    return max(
        float(np.abs(one - other.numpy()).max() / other.abs().max())
        for one, other in zip(found, expected, strict=True)
    )
