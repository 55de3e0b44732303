"""The network of a stage, built from its settings."""

from __future__ import annotations

from torch import nn

from psa_core.errors import UserError
from psa_core.networks import registry, weights
from psa_core.networks.affinity import AffinityNetwork
from psa_core.networks.backbone import Backbone
from psa_core.networks.cam import CamNetwork, PrototypeNetwork
from psa_core.networks.segmentation import AtrousNetwork, LargeFov, LibraryNetwork


def build(stage: str, settings: dict, classes: int, *, pretrained: bool = True) -> nn.Module:
    """The network of a stage for C object classes.

    stage: "cam", "affinity" or "segmentation"; "prototypes" for a `PrototypeNetwork` with
    the settings of "cam".
    settings: section `network` of the stage's configuration; its `weights` is "imagenet" (the
    default), "random", or a file for `weights.load`.
    pretrained: start from those weights; False where all weights are loaded afterwards.
    Raises UserError for a backbone, an architecture, a stride or a file that does not fit.
    """
    settings = {"weights": "imagenet", **settings}
    if not pretrained:
        settings["weights"] = "random"
    if problems := list(registry.conflicts(settings)):
        raise UserError("; ".join(problems))
    source = settings.pop("weights")
    backbone = registry.create_backbone(
        settings.pop("backbone"),
        "cam" if stage == "prototypes" else stage,
        output_stride=settings.pop("output_stride"),
        frozen_stages=settings.pop("frozen_stages"),
        pretrained=source == "imagenet",
    )
    network = _with_head(stage, backbone, classes, settings)
    if source not in ("imagenet", "random"):
        weights.load(network, stage, source)
    return network


def _with_head(stage: str, backbone: Backbone, classes: int, settings: dict) -> nn.Module:
    if stage == "cam":
        return CamNetwork(backbone, classes, **settings)
    if stage == "prototypes":
        return PrototypeNetwork(backbone, classes, **settings)
    if stage == "affinity":
        return AffinityNetwork(backbone, **settings)
    architecture = settings.pop("architecture")
    if architecture == "atrous":
        return AtrousNetwork(backbone, classes, **settings)
    if architecture == "largefov":
        return LargeFov(backbone, classes)
    return LibraryNetwork(backbone, classes, architecture=architecture)
