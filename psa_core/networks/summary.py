"""A table of networks: `python -m psa_core.networks.summary`, or `make models`."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from psa_core.networks.builder import build

SIDE = 320  # of the image, in pixels
CLASSES = 20
PAPER: dict[str, dict[str, Any]] = {
    "cam": {"channels": 512, "dropout": 0.5},
    "affinity": {"channels": [128, 256, 512], "group_norm": False},
    "segmentation": {
        "architecture": "atrous",
        "level_channels": None,
        "channels": 512,
        "dilation": 12,
    },
}
OURS: dict[str, dict[str, Any]] = {
    "cam": {"channels": None, "dropout": 0.0},
    "affinity": {"channels": [64, 128, 128], "group_norm": True},
    "segmentation": {
        "architecture": "atrous",
        "level_channels": [48, 64, 128],
        "channels": 128,
        "dilation": 6,
    },
}
NETWORKS: list[tuple[str, int, dict[str, dict[str, Any]]]] = [
    ("resnet38", 8, PAPER),
    ("vgg16", 8, PAPER | {"segmentation": {"architecture": "largefov"}}),
    ("resnet50", 8, PAPER),
    ("tf_efficientnet_lite0", 16, OURS),
]


def table() -> pd.DataFrame:
    """Parameters, operations and maps of `NETWORKS`, without allocating any weights."""
    return pd.DataFrame(
        describe(stage, {"backbone": backbone, "output_stride": stride, **heads[stage]})
        for backbone, stride, heads in NETWORKS
        for stage in heads
    )


def describe(stage: str, settings: dict) -> dict[str, object]:
    """One row: the network of a stage for 20 classes and a square image of 320 pixels.

    A multiplication and its addition count as two FLOPs; levels are channels x cells per side.
    """
    with torch.device("meta"):
        settings = {"frozen_stages": 0, **settings}
        network = build(stage, settings, CLASSES, pretrained=False).eval()
        images = torch.rand(1, 3, SIDE, SIDE)
        levels = network.backbone(images).levels
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(images)
    return {
        "backbone": settings["backbone"],
        "stage": stage,
        "parameters (M)": round(sum(p.numel() for p in network.parameters()) / 1e6, 2),
        f"GFLOPs at {SIDE} px": round(counter.get_total_flops() / 1e9, 1),
        "output stride": settings["output_stride"],
        "levels": ", ".join(f"{each.shape[1]} x {each.shape[3]}" for each in levels),
    }


if __name__ == "__main__":
    print(table().to_string(index=False))
