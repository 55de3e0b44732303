"""VGG16: published names and shapes; forward passes written out; torchvision's weights."""

import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from paper_networks import (
    RELEASE_AFFINITY,
    RELEASE_CAM,
    build,
    published_shapes,
    with_random_weights,
)
from published import VGG16, VGG16_AFFINITY, VGG16_CAM
from seeds import SEED

from psa_core.networks import vgg16

LARGEFOV = {"architecture": "largefov"}


@pytest.mark.parametrize(
    ("stage", "settings", "head"),
    [
        ("cam", RELEASE_CAM, VGG16_CAM),
        ("affinity", RELEASE_AFFINITY | {"group_norm": True}, VGG16_AFFINITY),
        (
            "segmentation",
            LARGEFOV,
            {"head.weight": (21, 1024, 1, 1), "head.bias": (21,)},  # never published; paper, 3.4
        ),
    ],
)
def test_names_and_shapes(stage, settings, head):
    assert published_shapes(stage, "vgg16", settings) == VGG16 | head


def test_count_of_parameters():
    """14,714,688 in the convolutions (Simonyan and Zisserman), 9*512*1024 + 1024 in fc6,
    1024*1024 + 1024 in fc7."""
    backbone = build("cam", "vgg16", RELEASE_CAM).backbone
    count = sum(parameter.numel() for parameter in backbone.parameters())
    assert count == 14_714_688 + 4_719_616 + 1_049_600


@pytest.fixture(scope="module")
def vgg():
    settings, shapes = RELEASE_AFFINITY | {"group_norm": True}, VGG16 | VGG16_AFFINITY
    network, state = with_random_weights("affinity", "vgg16", settings, shapes)
    network.backbone.mean = torch.tensor([122.675, 116.669, 104.008]).double().view(3, 1, 1)
    return network, state


def pool(x, stride):
    """Maximum of the 3x3 window around each cell, then every `stride`-th of them."""
    padded = F.pad(x, (1, 1, 1, 1), value=-math.inf)
    return padded.unfold(2, 3, 1).unfold(3, 3, 1).amax((4, 5))[:, :, ::stride, ::stride]


@torch.no_grad()
def test_vgg16_and_its_affinity_head_written_out(vgg):
    """41 x 30 pixels: 6 x 4 cells. fc6 has dilation 4 in AffinityNet."""
    network, state = vgg
    images = torch.rand(1, 3, 41, 30, dtype=torch.float64)

    def convolve(name, x, dilation=1):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        padding = dilation * (weight.shape[2] // 2)
        return F.conv2d(x, weight, bias, padding=padding, dilation=dilation).clamp(min=0)

    red, green, blue = (255 * images).unbind(1)
    x = torch.stack([blue - 104.008, green - 116.669, red - 122.675], 1)
    x = pool(convolve("conv1_2", convolve("conv1_1", x)), 2)
    x = pool(convolve("conv2_2", convolve("conv2_1", x)), 2)
    x = pool(convolve("conv3_3", convolve("conv3_2", convolve("conv3_1", x))), 2)
    fourth = convolve("conv4_3", convolve("conv4_2", convolve("conv4_1", x)))
    x = pool(fourth, 1)
    fifth = convolve("conv5_3", convolve("conv5_2", convolve("conv5_1", x, 2), 2), 2)
    seventh = convolve("fc7", convolve("fc6", fifth, 4))
    levels = network.backbone(images).levels
    assert [tuple(each.shape) for each in levels] == [(1, 512, 6, 4)] * 2 + [(1, 1024, 6, 4)]
    for found, expected in zip(levels, (fourth, fifth, seventh), strict=True):
        assert expected.std() > 0.05
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

    def elu(x):
        return torch.where(x > 0, x, x.exp() - 1)

    reduced = []
    for i, level in zip((3, 4, 5), (fourth, fifth, seventh), strict=True):
        y = F.conv2d(level, state[f"f8_{i}.weight"])
        groups = y.view(y.shape[1] // 8, -1)  # 8, 16 and 32 groups
        var, mean = torch.var_mean(groups, 1, correction=0, keepdim=True)
        y = ((groups - mean) / (var + 1e-5).sqrt()).view(y.shape)
        vectors = (state[f"gn8_{i}.{kind}"].view(-1, 1, 1) for kind in ("weight", "bias"))
        weight, bias = vectors
        reduced.append(elu(y * weight + bias))
    expected = elu(F.conv2d(torch.cat(reduced, 1), state["f9.weight"]))
    torch.testing.assert_close(network(images), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("stage", "dilation"), [("cam", 1), ("affinity", 4), ("segmentation", 12)])
def test_fc6_is_dilated_by_stage(stage, dilation):
    settings = {
        "cam": RELEASE_CAM,
        "affinity": RELEASE_AFFINITY,
        "segmentation": LARGEFOV,
    }[stage]
    backbone = build(stage, "vgg16", settings).backbone
    assert backbone.fc6.dilation == backbone.fc6.padding == (dilation, dilation)


def test_vgg16_frozen_stages():
    backbone = build("cam", "vgg16", RELEASE_CAM).backbone
    frozen = {n.split(".")[0] for n, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1_1", "conv1_2", "conv2_1", "conv2_2"}


@pytest.fixture(scope="module")
def torchvision_vgg():
    """Random weights under the names of torchvision's vgg16."""
    with torch.device("meta"):
        network = torchvision.models.vgg16()
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    generator = torch.Generator().manual_seed(3 + SEED)
    return {
        k: torch.randn(s, generator=generator) / math.sqrt(math.prod(s[1:]))
        for k, s in shapes.items()
    }


def test_imagenet_weights_give_the_features_of_torchvisions_vgg16(torchvision_vgg, monkeypatch):
    """Away from the border. Pools differ (2x2 in torchvision's), so the output of conv1_2 is
    compared, and the weights of all later layers.
    """
    monkeypatch.setattr(
        "torchvision.models.VGG16_Weights.get_state_dict", lambda *_, **__: torchvision_vgg
    )
    backbone = vgg16.VGG16(stage="cam", pretrained=True)
    seen = []
    backbone.conv1_2.register_forward_hook(lambda _, __, y: seen.append(y))
    images = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        backbone(images)
        mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
        state = {k.removeprefix("features."): t for k, t in torchvision_vgg.items()}
        x = F.conv2d((images - mean) / std, state["0.weight"], state["0.bias"], padding=1)
        x = F.conv2d(x.clamp(min=0), state["2.weight"], state["2.bias"], padding=1)
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    torch.testing.assert_close(seen[0][inner], x[inner], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(seen[0], x, atol=1e-4)  # the other mean shows in the outermost pixels
    ours = backbone.state_dict()
    numbers = [2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]  # of torchvision.models.vgg16.features
    names = ["conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3"]
    names += ["conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3"]
    for name, number in zip(names, numbers, strict=True):
        assert torch.equal(ours[f"{name}.weight"], state[f"{number}.weight"])
        assert torch.equal(ours[f"{name}.bias"], state[f"{number}.bias"])


def test_fully_connected_layers_are_subsampled(torchvision_vgg):
    """Output o is torchvision's 4 o; row and column i of the window are its 3 i."""
    ours = vgg16.from_torchvision(torchvision_vgg)
    assert ours["fc6.weight"].shape == (1024, 512, 3, 3)
    assert ours["fc7.weight"].shape == (1024, 1024, 1, 1)
    flat = torchvision_vgg["classifier.0.weight"]
    for o, c, row, column in [(0, 0, 0, 0), (5, 7, 1, 2), (1023, 511, 2, 1)]:
        index = c * 49 + 3 * row * 7 + 3 * column
        assert ours["fc6.weight"][o, c, row, column] == flat[4 * o, index]
    assert ours["fc7.weight"][9, 11, 0, 0] == torchvision_vgg["classifier.3.weight"][36, 44]
    assert ours["fc6.bias"][3] == torchvision_vgg["classifier.0.bias"][12]
    assert ours["fc7.bias"][3] == torchvision_vgg["classifier.3.bias"][12]


def test_missing_imagenet_weights_are_explained(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models.VGG16_Weights.get_state_dict", offline)
    with pytest.raises(ValueError, match=r"vgg16 from https://.*: no route to host. Without"):
        vgg16.imagenet_weights()


@pytest.mark.parametrize("side", [321, 64, 33, 9])
def test_largefov_is_at_stride_8(side):
    network = build("segmentation", "vgg16", LARGEFOV)
    logits = network(torch.rand(1, 3, side, 2 * side, device="meta"))
    assert logits.shape == (1, 21, -(-side // 8), -(-2 * side // 8))
