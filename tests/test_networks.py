"""The three networks: outputs, what is frozen, what a file brings back."""

import json

import pytest
import torch
from safetensors.torch import save_file

from psa_core.datasets.formats.reading import AS_STORED, Reading
from psa_core.networks import builder, files
from psa_core.networks.files import read_network, write_network
from psa_core.networks.metadata import check_frozen, read_metadata

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
    return builder.build(stage, settings, classes, pretrained=False)


@torch.no_grad()
def test_cam_network_scores_the_mean_of_its_activations():
    """The classifier is linear without bias, so that pooling before or after it is the same."""
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


@pytest.mark.parametrize(
    ("backbone", "settings"),
    [("resnet18", {}), ("convnext_atto", {"output_stride": 32}), ("vgg16", {"output_stride": 8})],
)
@torch.no_grad()
def test_affinity_network_takes_its_stride_from_the_backbone(backbone, settings):
    network = build("affinity", backbone, **AFFINITY | settings)
    images = torch.rand(1, 3, 64, 96)
    assert network.stride == 64 // network(images).shape[2] == 96 // network(images).shape[3]


@pytest.mark.parametrize(("backbone", "stride"), [("cait_xxs24_224", 16), ("mixer_s32_224", 32)])
def test_affinity_network_refuses_another_stride_than_that_of_the_labels(backbone, stride):
    """Patches of 16 and of 32 pixels: all levels have the stride of a patch."""
    message = rf"'{backbone}': its finest level has stride {stride}, but .* 8; choose a ResNet"
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        build("affinity", backbone, **AFFINITY | {"output_stride": 32})


def test_group_norm_has_eight_channels_per_group():
    network = build("affinity", **AFFINITY | {"channels": [64, 128, 256], "group_norm": True})
    norms = [m for m in network.modules() if isinstance(m, torch.nn.GroupNorm)]
    assert [norm.num_groups for norm in norms] == [8, 16, 32]  # as in the release's VGG16


@torch.no_grad()
def test_atrous_network_is_at_stride_8_with_a_background():
    network = build("segmentation", **ATROUS).eval()
    assert network(torch.rand(1, 3, 64, 96)).shape == (1, 3 + 1, 8, 12)


@pytest.mark.parametrize("backbone", ["resnet18", "convnext_atto"])
@torch.no_grad()
def test_library_network_takes_the_backbones_weights(backbone, monkeypatch):
    """The backbone is filled with a value that no initialisation gives."""

    def mark(network, name):
        for tensor in network.state_dict().values():
            tensor.fill_(0.125)

    monkeypatch.setattr("psa_core.networks.timm_backbone.load_imagenet_weights", mark)
    settings = {"backbone": backbone, "output_stride": 32, "frozen_stages": 0}
    network = builder.build("segmentation", settings | {"architecture": "deeplabv3plus"}, 3).eval()
    encoder = network.backbone.state_dict()
    assert len(encoder) > 50
    assert all((tensor == 0.125).all() for tensor in encoder.values() if tensor.is_floating_point())
    assert network(torch.rand(1, 3, 64, 96)).shape == (1, 4, 64, 96)


def test_frozen_stages_of_a_library_network_stay_frozen():
    settings = {"backbone": "resnet18", "output_stride": 32, "frozen_stages": 2}
    settings |= {"architecture": "fpn"}
    network = builder.build("segmentation", settings, 3, pretrained=False).train()
    encoder = network.backbone.model
    frozen = {name.split(".")[0] for name, p in encoder.named_parameters() if not p.requires_grad}
    learning = {name.split(".")[0] for name, p in encoder.named_parameters() if p.requires_grad}
    assert (frozen, learning) == ({"conv1", "bn1", "layer1"}, {"layer2", "layer3", "layer4"})
    assert not encoder.bn1.training
    assert encoder.layer2[0].bn1.training
    network.eval()
    assert not encoder.layer2[0].bn1.training


def test_unknown_architecture_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"unknown architecture 'unett'; .*largefov, .*Unet"):
        build("segmentation", architecture="unett")


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
    network = builder.build(stage, settings, 3, pretrained=False)
    network.train()(torch.rand(2, 3, 64, 64))  # moves the statistics of the batch norms
    write_network(tmp_path / "network.safetensors", network, stage, settings, ["a", "b", "c"])
    found = read_network(tmp_path / "network.safetensors", torch.device("cpu"))
    images = torch.rand(2, 3, 64, 64)
    assert not found.training
    torch.testing.assert_close(found(images), network.eval()(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kept", [0, 5000])
def test_a_damaged_network_is_named(tmp_path, kept):
    path = tmp_path / "network.safetensors"
    write_network(path, build("cam"), "cam", {"backbone": "resnet18"}, ["a", "b", "c"])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"network\.safetensors: not a readable .*delete it"):
        read_network(path, torch.device("cpu"))


def test_equal_networks_have_equal_bytes(tmp_path):
    """Given a path, torch.save would put that path into the file."""
    network, settings = build("cam"), {"backbone": "resnet18"}
    contents = set()
    for name in ("a.safetensors", "b.safetensors"):
        write_network(tmp_path / name, network, "cam", settings, ["a", "b", "c"])
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1


def header(path) -> dict:
    """The JSON object at the start of a safetensors file, read by hand."""
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def test_a_network_file_tells_what_it_is(tmp_path):
    path, settings = tmp_path / "n.safetensors", {"backbone": "resnet18", "weights": "/my/w.pth"}
    names = ["Käse", "polar bear"]
    write_network(path, build("cam"), "cam", settings, names, dataset="zoo", seed=3)
    (text,) = header(path)["__metadata__"].values()
    metadata = read_metadata(path)
    assert json.loads(text) == metadata
    assert metadata["stage"] == "cam"
    assert metadata["classes"] == names
    assert metadata["settings"] == {"backbone": "resnet18", "weights": "w.pth"}
    assert metadata["preprocessing"] == {
        "channels": "RGB",
        "range": [0, 1],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    assert (metadata["dataset"], metadata["seed"]) == ("zoo", 3)
    assert metadata["versions"].keys() == {"psa_core", "torch", "timm"}


def test_frozen_networks_must_know_images_that_are_read_as_those_of_the_data_set(tmp_path):
    path, satellite = tmp_path / "n.safetensors", Reading(bands=(4, 3, 2), value_range=(0, 3000))
    for about in ({}, {"images": satellite._asdict()}):  # a network may not say it
        write_network(path, build("cam"), "cam", {"backbone": "resnet18"}, ["a"], **about)
        check_frozen([path], ["a"], satellite)
    with pytest.raises(
        ValueError, match=r"n\.safetensors learned .* set dataset: {bands: \[4, 3, 2\], val"
    ):
        check_frozen([path], ["a"], AS_STORED)


def test_preprocessing_of_vgg16_is_that_of_its_release(tmp_path):
    settings = {"backbone": "vgg16", "output_stride": 8, "frozen_stages": 0}
    with torch.device("meta"):
        network = builder.build("cam", settings, 3, pretrained=False)
    network.backbone.mean = torch.tensor([122.675, 116.669, 104.008]).view(3, 1, 1)
    found = files._preprocessing(network)
    assert found["mean"] == pytest.approx([0.481078, 0.457525, 0.407875], abs=1e-6)
    assert found["std"] == pytest.approx([0.003922] * 3, abs=1e-6)


def test_other_files_are_refused_with_a_remedy(tmp_path):
    path = tmp_path / "network.pt"
    torch.save({"stage": "cam"}, path)
    with pytest.raises(ValueError, match=r"network\.pt: .*earlier .*run the workflow again"):
        read_network(path, torch.device("cpu"))
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.ones(2)}, path)
    with pytest.raises(ValueError, match=r"other\.safetensors: .*without the metadata"):
        read_network(path, torch.device("cpu"))
    newer = {"psa": json.dumps({"format": 2, "versions": {"psa_core": "7.0"}})}
    save_file({"a": torch.ones(2)}, path, newer)
    with pytest.raises(ValueError, match=r"format 2, .*install psa_core 7\.0"):
        read_network(path, torch.device("cpu"))


@torch.no_grad()
def test_network_is_read_at_another_output_stride(tmp_path):
    settings = {"backbone": "resnet18", "output_stride": 32, "frozen_stages": 0}
    network = builder.build("cam", settings, 3, pretrained=False)
    write_network(tmp_path / "network.safetensors", network, "cam", settings, ["a", "b", "c"])
    found = read_network(tmp_path / "network.safetensors", torch.device("cpu"), output_stride=8)
    assert found.activations(torch.rand(1, 3, 64, 64)).shape == (1, 3, 8, 8)
    assert torch.equal(found.classifier.weight, network.classifier.weight)
