"""Families of backbones: what each declares holds; what does not fit is refused; imports."""

import subprocess
import sys

import pytest
import torch

from psa_core.networks.builder import build
from psa_core.networks.registry import FAMILIES, TIMM, conflicts, create_backbone, family_of

EXAMPLES = {**FAMILIES, "resnet18": TIMM, "test_vit2": TIMM}  # a backbone of each kind
DECLARED = [(name, stride) for name, family in EXAMPLES.items() for stride in family.output_strides]


@pytest.mark.parametrize(("name", "output_stride"), DECLARED)
@pytest.mark.parametrize("stage", ["cam", "affinity", "segmentation"])
def test_backbones_have_the_declared_strides_and_channels(name, output_stride, stage):
    """Maps of a 64 x 96 image, computed without values."""
    with torch.device("meta"):
        backbone = create_backbone(
            name, stage, output_stride=output_stride, frozen_stages=0, pretrained=False
        )
        features = backbone(torch.rand(1, 3, 64, 96))
    assert backbone.name == name
    assert backbone.stride == output_stride == 64 // features.final.shape[2]
    assert features.final.shape[1] == backbone.final_channels
    shapes = [level.shape[1:] for level in features.levels]
    assert [channels for channels, _, _ in shapes] == list(backbone.level_channels)
    assert [64 / height for _, height, _ in shapes] == list(backbone.level_strides)
    assert [96 / width for _, _, width in shapes] == list(backbone.level_strides)


def test_families_by_name():
    assert family_of("resnet38").output_strides == family_of("vgg16").output_strides == (8,)
    assert family_of("resnet50") is family_of("a name that only timm can judge") is TIMM


FITTING = {"backbone": "resnet18", "weights": "imagenet", "output_stride": 32}


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        ({}, []),
        ({"architecture": "unet"}, []),
        ({"backbone": "vgg16", "output_stride": 8, "architecture": "largefov"}, []),
        ({"backbone": "resnet38", "output_stride": 8, "weights": "resnet38.params"}, []),
        (
            {"backbone": "vgg16", "output_stride": 16},
            ["output_stride: 16, but vgg16 has output stride 8; set it to 8"],
        ),
        (
            {"output_stride": 4},
            ["output_stride: 4, but resnet18 has output stride 8 or 16 or 32; set it to 8 or 16"],
        ),
        (
            {"output_stride": 16, "architecture": "unet"},
            ["output_stride: 16, but unet sets its own strides; set it to 32"],
        ),
        (
            {"backbone": "resnet38", "architecture": "unet"},
            [
                "output_stride: 32, but resnet38 has output stride 8; set it to 8",
                "weights: ImageNet weights of resnet38 cannot be downloaded; set it to the file",
                "architecture: 'unet' needs a backbone of timm, not resnet38; set it to atrous or",
            ],
        ),
    ],
)
def test_conflicts_name_key_value_and_remedy(change, messages):
    found = list(conflicts(FITTING | change))
    assert len(found) == len(messages)
    for problem, message in zip(found, messages, strict=True):
        assert problem.startswith(message)


@pytest.mark.parametrize(
    ("stage", "settings", "message"),
    [
        (
            "cam",
            {"backbone": "resnet38", "output_stride": 16, "weights": "random"},
            r"^output_stride: 16, but resnet38 has output stride 8; set it to 8$",
        ),
        (
            "cam",
            {"backbone": "resnet38", "output_stride": 8},  # ImageNet weights are the default
            r"^weights: ImageNet weights of resnet38 cannot be downloaded; set",
        ),
        (
            "segmentation",
            {"backbone": "vgg16", "output_stride": 32, "architecture": "unet"},
            r"'unet' needs a backbone of timm, not vgg16; set it to atrous or largefov",
        ),
    ],
)
def test_networks_with_conflicts_are_not_built(stage, settings, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        build(stage, {"frozen_stages": 0, **settings}, 3)


def test_slow_packages_are_imported_where_used():
    """The configuration check needs no torch, and a network of ours nothing but torch."""
    code = """
import sys

def absent(*packages):
    assert not (found := [name for name in packages if name in sys.modules]), found

import psa_core.runtime.config
absent("torch", "numpy")
import torch, psa_core.networks.files
from psa_core.networks.builder import build
settings = {"backbone": "vgg16", "output_stride": 8, "frozen_stages": 0}
with torch.device("meta"):
    build("segmentation", settings | {"architecture": "largefov"}, 3, pretrained=False)
absent("timm", "torchvision", "segmentation_models_pytorch")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
