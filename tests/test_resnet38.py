"""ResNet38: published names and shapes; forward passes written out layer by layer."""

import pytest
import torch
import torch.nn.functional as F
from paper_networks import (
    OURS_RESNET38,
    RELEASE_AFFINITY,
    RELEASE_CAM,
    build,
    published_shapes,
    with_random_weights,
)
from published import RESNET38, RESNET38_AFFINITY, RESNET38_CAM
from seeds import SEED

from psa_core.networks.backbone import Features
from psa_core.networks.resnet38 import ResNet38
from psa_core.networks.segmentation import AtrousNetwork


@pytest.mark.parametrize(
    ("stage", "settings", "head"),
    [("cam", RELEASE_CAM, RESNET38_CAM), ("affinity", RELEASE_AFFINITY, RESNET38_AFFINITY)],
)
def test_names_and_shapes_of_the_release(stage, settings, head):
    assert published_shapes(stage, "resnet38", settings) == RESNET38 | head


@pytest.mark.parametrize(
    ("stage", "settings", "head"),
    [
        (
            "cam",
            RELEASE_CAM | {"channels": 512},
            {
                "neck.0.weight": (512, 4096, 3, 3),
                "neck.0.bias": (512,),
                "fc8.weight": (20, 512, 1, 1),
            },
        ),
        (
            "affinity",
            RELEASE_AFFINITY | {"channels": [128, 256, 512]},
            {
                "f8_3.weight": (128, 512, 1, 1),
                "f8_4.weight": (256, 1024, 1, 1),
                "f8_5.weight": (512, 4096, 1, 1),
                "f9.weight": (896, 896, 1, 1),
            },
        ),
        (
            "segmentation",
            OURS_RESNET38,
            {
                "head.0.weight": (512, 4096, 3, 3),
                "head.0.bias": (512,),
                "head.2.weight": (21, 512, 3, 3),
                "head.2.bias": (21,),
            },
        ),
    ],
)
def test_shapes_of_the_papers_own_heads(stage, settings, head):
    """Heads that were never published: widths of the paper's sections 3.1, 3.2 and 3.4."""
    assert published_shapes(stage, "resnet38", settings) == RESNET38 | head


def test_counts_of_parameters():
    """By stage, convolutions and the two vectors of each norm."""
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
    shapes = RESNET38 | RESNET38_CAM
    network, state = with_random_weights("cam", "resnet38", RELEASE_CAM, shapes)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    network.backbone.mean = torch.tensor(mean, dtype=torch.float64).view(3, 1, 1)
    network.backbone.std = torch.tensor(std, dtype=torch.float64).view(3, 1, 1)
    return network, state


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


@torch.no_grad()
def test_ours_resnet38_head_written_out():
    """Two 3x3 convolutions of dilation 12 on the final features, a rectifier between them."""

    class Constant(torch.nn.Module):
        final_channels = 6

        def forward(self, images):
            return Features([], images)

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


@pytest.mark.parametrize("side", [321, 64, 33, 9])
def test_ours_resnet38_is_at_stride_8(side):
    network = build("segmentation", "resnet38", OURS_RESNET38)
    logits = network(torch.rand(1, 3, side, 2 * side, device="meta"))
    assert logits.shape == (1, 21, -(-side // 8), -(-2 * side // 8))
