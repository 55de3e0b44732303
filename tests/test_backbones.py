"""The paper's backbones and heads: published names; forward passes written out by layer."""

import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from published import (
    RESNET38,
    RESNET38_AFFINITY,
    RESNET38_CAM,
    VGG16,
    VGG16_AFFINITY,
    VGG16_CAM,
    random_state,
)
from seeds import SEED

from psa_core import networks
from psa_core.networks import summary, vgg16, weights
from psa_core.networks.resnet38 import ResNet38

RELEASE_CAM = {"channels": None, "dropout": 0.5}
RELEASE_AFFINITY = {"channels": [64, 128, 256], "group_norm": False}
OURS_RESNET38 = {
    "architecture": "atrous",
    "level_channels": None,
    "channels": 512,
    "dilation": 12,
}


def build(stage, backbone, settings, classes=20):
    settings = {"backbone": backbone, "output_stride": 8, "frozen_stages": 2} | settings
    return networks.build(stage, settings, classes, pretrained=False)


def published_shapes(stage, backbone, settings):
    """Shapes by published name, made on torch's meta device: no memory, no time."""
    with torch.device("meta"):
        network = build(stage, backbone, settings)
    names, state = weights.published_names(network, stage), network.state_dict()
    return {name: tuple(state[key].shape) for key, name in names.items()}


@pytest.mark.parametrize(
    ("stage", "backbone", "settings", "expected"),
    [
        ("cam", "resnet38", RELEASE_CAM, RESNET38 | RESNET38_CAM),
        ("affinity", "resnet38", RELEASE_AFFINITY, RESNET38 | RESNET38_AFFINITY),
        ("cam", "vgg16", RELEASE_CAM, VGG16 | VGG16_CAM),
        ("affinity", "vgg16", RELEASE_AFFINITY | {"group_norm": True}, VGG16 | VGG16_AFFINITY),
    ],
)
def test_names_and_shapes_of_the_release(stage, backbone, settings, expected):
    assert published_shapes(stage, backbone, settings) == expected


def test_shapes_of_the_papers_own_heads():
    """Heads that were never published: widths of the paper's sections 3.1, 3.2 and 3.4."""
    heads = {
        ("cam", "resnet38"): RELEASE_CAM | {"channels": 512},
        ("affinity", "resnet38"): RELEASE_AFFINITY | {"channels": [128, 256, 512]},
        ("segmentation", "resnet38"): OURS_RESNET38,
        ("segmentation", "vgg16"): {"architecture": "largefov"},
    }
    found = {}
    for (stage, backbone), settings in heads.items():
        shapes = published_shapes(stage, backbone, settings)
        known = RESNET38 if backbone == "resnet38" else VGG16
        assert shapes.items() >= known.items()
        found[stage, backbone] = {n: shape for n, shape in shapes.items() if n not in known}
    assert found == {
        ("cam", "resnet38"): {
            "neck.0.weight": (512, 4096, 3, 3),
            "neck.0.bias": (512,),
            "fc8.weight": (20, 512, 1, 1),
        },
        ("affinity", "resnet38"): {
            "f8_3.weight": (128, 512, 1, 1),
            "f8_4.weight": (256, 1024, 1, 1),
            "f8_5.weight": (512, 4096, 1, 1),
            "f9.weight": (896, 896, 1, 1),
        },
        ("segmentation", "resnet38"): {
            "head.0.weight": (512, 4096, 3, 3),
            "head.0.bias": (512,),
            "head.2.weight": (21, 512, 3, 3),
            "head.2.bias": (21,),
        },
        ("segmentation", "vgg16"): {"head.weight": (21, 1024, 1, 1), "head.bias": (21,)},
    }


def test_counts_of_parameters():
    """VGG16: 14,714,688 of the convolutions (Simonyan and Zisserman's), 9*512*1024 + 1024 of fc6,
    1024*1024 + 1024 of fc7. ResNet38: by stage, convolutions and the two vectors of each norm."""
    convolutions = 14_714_688
    assert sum(map(math.prod, VGG16.values())) == convolutions + 4_719_616 + 1_049_600
    stages = {
        "conv1a": 3 * 64 * 9,
        "b2": 9 * (64 * 128 + 5 * 128 * 128) + 64 * 128 + 2 * (64 + 5 * 128),
        "b3": 9 * (128 * 256 + 5 * 256 * 256) + 128 * 256 + 2 * (128 + 5 * 256),
        "b4": 9 * (256 * 512 + 11 * 512 * 512) + 256 * 512 + 2 * (256 + 11 * 512),
        "b5": 9 * (512 * 512 + 5 * 512 * 1024) + 512 * 1024 + 2 * (512 * 4 + 1024 * 2),
        "b6": 1024 * 512 + 9 * 512 * 1024 + 2 * 1024 * 2048 + 2 * (1024 + 512 + 1024),
        "b7": 2048 * 1024 + 9 * 1024 * 2048 + 2 * 2048 * 4096 + 2 * (2048 + 1024 + 2048),
        "bn7": 2 * 4096,
    }
    with torch.device("meta"):
        network = ResNet38()
    counts = dict.fromkeys(stages, 0)
    for name, parameter in network.named_parameters():
        counts[name.split(".")[0].split("_")[0]] += parameter.numel()
    assert counts == stages
    assert sum(counts.values()) == 105_070_912


@pytest.fixture(scope="module")
def resnet38():
    """A CAM network in double precision with random published weights, and those weights."""
    with torch.device("meta"):
        network = build("cam", "resnet38", RELEASE_CAM)
    state = {k: t.double() for k, t in random_state(RESNET38 | RESNET38_CAM).items()}
    names = weights.published_names(network, "cam")
    network.load_state_dict({k: state[n] for k, n in names.items()}, strict=False, assign=True)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    network.backbone.mean = torch.tensor(mean, dtype=torch.float64).view(3, 1, 1)
    network.backbone.std = torch.tensor(std, dtype=torch.float64).view(3, 1, 1)
    return network.eval(), state


def norm_relu(state, name, x):
    """(x - mean) / sqrt(var + 1e-5) * weight + bias, rectified."""
    vectors = [state[f"{name}.{kind}"] for kind in ("running_mean", "running_var")]
    mean, var = (vector.view(-1, 1, 1) for vector in vectors)
    weight, bias = (state[f"{name}.{kind}"].view(-1, 1, 1) for kind in ("weight", "bias"))
    return ((x - mean) / (var + 1e-5).sqrt() * weight + bias).clamp(min=0)


def block_of(state, name, x, stride=1, first=1, second=1):
    """A block written out; returns its activated input and its output."""
    active = norm_relu(state, f"{name}.bn_branch2a", x)
    y = F.conv2d(
        active, state[f"{name}.conv_branch2a.weight"], None, stride, padding=first, dilation=first
    )
    y = norm_relu(state, f"{name}.bn_branch2b1", y)
    y = F.conv2d(y, state[f"{name}.conv_branch2b1.weight"], None, padding=second, dilation=second)
    if f"{name}.conv_branch1.weight" in state:
        x = F.conv2d(active, state[f"{name}.conv_branch1.weight"], None, stride)
    return active, x + y


def bottleneck_of(state, name, x):
    active = norm_relu(state, f"{name}.bn_branch2a", x)
    y = F.conv2d(active, state[f"{name}.conv_branch2a.weight"])
    y = norm_relu(state, f"{name}.bn_branch2b1", y)
    y = F.conv2d(y, state[f"{name}.conv_branch2b1.weight"], padding=4, dilation=4)
    y = norm_relu(state, f"{name}.bn_branch2b2", y)
    y = F.conv2d(y, state[f"{name}.conv_branch2b2.weight"])
    return active, y + F.conv2d(active, state[f"{name}.conv_branch1.weight"])


@torch.no_grad()
def test_resnet38_written_out(resnet38):
    """39 x 50 pixels: ceil(39 / 8) = 5 and ceil(50 / 8) = 7 cells at each level."""
    network, state = resnet38
    images = torch.rand(1, 3, 39, 50, dtype=torch.float64)
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(3, 1, 1)
    x = F.conv2d((images - mean) / std, state["conv1a.weight"], padding=1)
    for name in ("b2", "b3", "b4"):
        _, x = block_of(state, name, x, stride=2)
        for i in range(1, 6 if name == "b4" else 3):
            _, x = block_of(state, f"{name}_{i}", x)
    fourth, x = block_of(state, "b5", x, first=1, second=2)
    _, x = block_of(state, "b5_1", x, first=2, second=2)
    _, x = block_of(state, "b5_2", x, first=2, second=2)
    fifth, x = bottleneck_of(state, "b6", x)
    _, x = bottleneck_of(state, "b7", x)
    sixth = norm_relu(state, "bn7", x)

    features = network.backbone(images)
    assert [tuple(each.shape) for each in features.levels] == [
        (1, 512, 5, 7),
        (1, 1024, 5, 7),
        (1, 4096, 5, 7),
    ]
    for found, expected in zip(features.levels, (fourth, fifth, sixth), strict=True):
        assert expected.std() > 0.05
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(features.final, sixth, rtol=1e-5, atol=1e-5)
    logits = sixth.mean((2, 3)) @ state["fc8.weight"].view(20, 4096).T
    torch.testing.assert_close(network(images), logits, rtol=1e-5, atol=1e-5)


def test_resnet38_in_training(resnet38):
    """Norms keep their statistics, the paper's first stages get no gradient, dropout is on."""
    network, _ = resnet38
    network.train()
    try:
        norms = {k: t.clone() for k, t in network.state_dict().items() if "running" in k}
        images = torch.rand(2, 3, 24, 24, dtype=torch.float64)
        torch.manual_seed(SEED)
        first = network.backbone(images).final
        first.mean().backward()
        assert len(norms) == 2 * (15 * 2 + 2 * 3 + 1)
        assert not torch.equal(first, network.backbone(images).final)
        assert all(torch.equal(network.state_dict()[k], t) for k, t in norms.items())
        frozen = {n for n, p in network.backbone.named_parameters() if p.grad is None}
    finally:
        network.zero_grad()
        network.eval()
    parameters = dict(network.backbone.named_parameters())
    expected = {n for n in parameters if "bn" in n}
    expected |= {n for n in parameters if n.startswith(("conv1a.", "b2.", "b2_1.", "b2_2."))}
    assert frozen == expected


def test_resnet38_drops_channels_before_the_second_and_third_convolution(resnet38):
    network, _ = resnet38
    seen = []
    bottlenecks = (network.backbone.b6, network.backbone.b7)
    handles = [
        bottleneck.dropout.register_forward_hook(lambda d, x, _: seen.append((d.p, x[0].shape[1])))
        for bottleneck in bottlenecks
    ]
    with torch.no_grad():
        network.backbone(torch.rand(1, 3, 8, 8, dtype=torch.float64))
    for handle in handles:
        handle.remove()
    assert seen == [(0.3, 512), (0.3, 1024), (0.5, 1024), (0.5, 2048)]


@pytest.fixture(scope="module")
def vgg():
    with torch.device("meta"):
        network = build("affinity", "vgg16", RELEASE_AFFINITY | {"group_norm": True})
    state = {k: t.double() for k, t in random_state(VGG16 | VGG16_AFFINITY).items()}
    names = weights.published_names(network, "affinity")
    network.load_state_dict({k: state[n] for k, n in names.items()}, assign=True)
    network.backbone.mean = torch.tensor([122.675, 116.669, 104.008]).double().view(3, 1, 1)
    return network.eval(), state


def pool(x, stride):
    """Maximum of each 3x3 window around every cell, then each second of them."""
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
        "segmentation": {"architecture": "largefov"},
    }[stage]
    with torch.device("meta"):
        backbone = build(stage, "vgg16", settings).backbone
    assert backbone.fc6.dilation == backbone.fc6.padding == (dilation, dilation)


def test_vgg16_frozen_stages():
    with torch.device("meta"):
        backbone = build("cam", "vgg16", RELEASE_CAM).backbone
    frozen = {n.split(".")[0] for n, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1_1", "conv1_2", "conv2_1", "conv2_2"}


@pytest.mark.parametrize("side", [321, 64, 33, 9])
@pytest.mark.parametrize(
    ("backbone", "settings"), [("resnet38", OURS_RESNET38), ("vgg16", {"architecture": "largefov"})]
)
def test_segmentation_networks_of_the_paper_are_at_stride_8(backbone, settings, side):
    with torch.device("meta"):
        network = build("segmentation", backbone, settings)
        logits = network(torch.rand(1, 3, side, 2 * side))
    assert logits.shape == (1, 21, -(-side // 8), -(-2 * side // 8))


@torch.no_grad()
def test_ours_resnet38_head_written_out():
    """Two 3x3 convolutions of dilation 12 on the final features, a rectifier between them."""

    class Constant(torch.nn.Module):
        final_channels = 6

        def forward(self, images):
            return networks.backbone.Features([], images)

    from psa_core.networks.segmentation import AtrousNetwork

    network = AtrousNetwork(Constant(), 3, level_channels=None, channels=5, dilation=12).double()
    x = torch.rand(1, 6, 30, 28, dtype=torch.float64)
    state = network.state_dict()
    expected = x
    for i in (0, 2):
        weight, bias = state[f"head.{i}.weight"], state[f"head.{i}.bias"]
        padded = F.pad(expected.clamp(min=0), (12, 12, 12, 12))
        expected = bias.view(-1, 1, 1) + sum(
            torch.einsum(
                "oc,bchw->bohw",
                weight[:, :, r, c],
                padded[:, :, 12 * r : 12 * r + 30, 12 * c : 12 * c + 28],
            )
            for r in range(3)
            for c in range(3)
        )
    torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backbone", ["resnet38", "vgg16"])
def test_other_output_strides_are_refused(backbone):
    with pytest.raises(ValueError, match=rf"{backbone} has output stride 8, not 16; set"):
        build("cam", backbone, RELEASE_CAM | {"output_stride": 16})


def test_resnet38_has_no_download():
    with pytest.raises(ValueError, match=r"resnet38 cannot be downloaded; set the network's"):
        networks.create_backbone(
            "resnet38", output_stride=8, frozen_stages=0, fc6_dilation=1, pretrained=True
        )


def test_library_architectures_want_a_timm_backbone():
    with (
        torch.device("meta"),
        pytest.raises(ValueError, match=r"'unet' takes backbones of timm; .* atrous or largefov"),
    ):
        build("segmentation", "vgg16", {"architecture": "unet"})


@pytest.fixture(scope="module")
def torchvision_vgg():
    with torch.device("meta"):
        network = torchvision.models.vgg16()
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    generator = torch.Generator().manual_seed(3 + SEED)
    return {
        k: torch.randn(s, generator=generator) / math.sqrt(math.prod(s[1:]))
        for k, s in shapes.items()
    }


def test_torchvisions_vgg16_gives_the_same_features(torchvision_vgg, monkeypatch):
    """Its own `features` up to conv4_3, with other pools and input; away from the border.

    Pools differ (2x2 there), so conv1_2 is compared, and the weights of all other layers.
    """
    monkeypatch.setattr(
        "torchvision.models.VGG16_Weights.get_state_dict", lambda *_, **__: torchvision_vgg
    )
    backbone = networks.create_backbone(
        "vgg16", output_stride=8, frozen_stages=0, fc6_dilation=1, pretrained=True
    )
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
    assert not torch.allclose(seen[0], x, atol=1e-4)  # the outermost pixels, by the other mean
    ours = backbone.state_dict()
    numbers = [2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]  # of torchvision.models.vgg16.features
    names = ["conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3"]
    names += ["conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3"]
    for name, number in zip(names, numbers, strict=True):
        assert torch.equal(ours[f"{name}.weight"], state[f"{number}.weight"])
        assert torch.equal(ours[f"{name}.bias"], state[f"{number}.bias"])


def test_fully_connected_layers_are_thinned_out(torchvision_vgg):
    """Output o is 4 o of torchvision's; a weight of fc6 is that of row and column 0, 3 or 6."""
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


def test_summary_counts_operations():
    """A 1x1 classifier for 21 classes on 1024 channels of 40 x 40 cells: 2 * 21 * 1024 * 1600."""
    base = {"backbone": "vgg16", "output_stride": 8}
    with_head = summary.describe("segmentation", base | {"architecture": "largefov"})
    assert with_head["parameters (M)"] == pytest.approx((20_483_904 + 21_525) / 1e6, abs=0.005)
    assert with_head["levels"] == "512 x 40, 512 x 40, 1024 x 40"
    layers = [  # (input, output, window, cells a side)
        *[(3, 64, 9, 320), (64, 64, 9, 320), (64, 128, 9, 160), (128, 128, 9, 160)],
        *[(128, 256, 9, 80), (256, 256, 9, 80), (256, 256, 9, 80), (256, 512, 9, 40)],
        *[(512, 512, 9, 40)] * 5,
        *[(512, 1024, 9, 40), (1024, 1024, 1, 40), (1024, 21, 1, 40)],
    ]
    total = sum(2 * a * b * window * side**2 for a, b, window, side in layers)
    assert with_head["GFLOPs at 320 px"] == pytest.approx(total / 1e9, abs=0.05)
