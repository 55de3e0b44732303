"""`psa classify`: scores by hand, the table of labels that it proposes."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from psa_core.datasets.formats import folder
from psa_core.delivery import classify, cli
from psa_core.networks.builder import build
from psa_core.networks.files import write_network

pytestmark = pytest.mark.usefixtures("restored")

SETTINGS = {"backbone": "resnet18", "output_stride": 32, "frozen_stages": 0}
SETTINGS |= {"channels": None, "dropout": 0.0}
NAMES = ["polar bear", "cat", "dog"]


class Mean(nn.Module):
    """Logits are the mean red, green and blue; notes the sizes that it sees."""

    def __init__(self):
        super().__init__()
        self.anchor, self.sizes = nn.Parameter(torch.zeros(1)), []
        self.backbone = nn.Module()
        self.backbone.stride = 8

    def forward(self, images):
        self.sizes.append(tuple(images.shape[2:]))
        return images.mean((2, 3))


@pytest.fixture
def images(tmp_path):
    """The path of a folder of four images: red, green, black, and one that is damaged."""
    for name, colour in {"red.jpg": "red", "sub/green.png": "lime", "black.png": "black"}.items():
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), colour).save(path, quality=100)
    (tmp_path / "images/bad.jpg").write_text("no image")
    return tmp_path / "images"


@pytest.fixture
def network(tmp_path):
    """The file of a CAM network, trained at 64 to 96 pixels."""
    path = tmp_path / "cam.safetensors"
    about = {"training": {"longest_side": [64, 96]}}
    write_network(
        path, build("cam", SETTINGS, 3, pretrained=False), "cam", SETTINGS, NAMES, **about
    )
    return path


def test_scores_are_the_sigmoid_of_the_logits():
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 0] = 255
    network = Mean()
    found = classify.scores(network, [image, 255 - image])
    np.testing.assert_allclose(found[0], 1 / (1 + np.exp([-1.0, 0, 0])), rtol=1e-5)
    np.testing.assert_allclose(found[1], 1 / (1 + np.exp([0, -1.0, -1.0])), rtol=1e-5)
    assert network.sizes == [(48, 64)]


def test_the_size_of_the_training_is_the_middle_of_its_range():
    assert classify.trained_side({"training": {"longest_side": [64, 96]}}) == 80
    assert classify.trained_side({"training": {"longest_side": None}}) is None
    assert classify.trained_side({}) is None


def test_tags_are_printed_and_written_as_labels_of_a_data_set(
    images, network, tmp_path, monkeypatch, capsys
):
    """The folder format reads them back; a name with a space stays whole."""
    means = {"red": [0.9, 0.2, 0.1], "green": [0.3, 0.6, 0.7], "black": [0.1, 0.4, 0.2]}

    def scores(_, pixels):
        assert pixels[0].shape == (60, 80, 3)  # the middle of 64 and 96
        red, green, _ = pixels[0][0, 0]
        return np.array([means["red" if red > 100 else "green" if green > 100 else "black"]])

    monkeypatch.setattr(classify, "scores", scores)
    table = images.parent / "labels.csv"
    arguments = ["classify", str(network), str(images), "--csv", str(table), "--device", "cpu"]
    assert cli.main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "black.png: no tag (highest: cat 0.40)",
        "red.jpg: polar bear 0.90",
        "sub/green.png: dog 0.70, cat 0.60",
    ]
    assert "bad.jpg: cannot be decoded" in printed.err
    assert table.read_text().splitlines() == [
        "image,labels",
        "black.png,",
        "red.jpg,polar bear;",
        "sub/green.png,dog;cat;",
    ]
    table.write_text(table.read_text().replace("black.png,\n", ""))
    source = folder.read({"format": "folder", "root": str(images.parent), "val_fraction": 0})
    assert source.problems == []
    assert source.labels == {"red": ["polar bear"], "sub__green": ["cat", "dog"]}


@pytest.mark.parametrize(("given", "shape"), [("0", (48, 64, 3)), ("128", (96, 128, 3))])
def test_another_size(images, network, monkeypatch, given, shape):
    seen = []
    monkeypatch.setattr(
        classify, "scores", lambda _, pixels: [seen.append(pixels[0].shape) or np.zeros(3)]
    )
    path = str(images / "red.jpg")
    assert cli.main(["classify", str(network), path, "--longest-side", given]) == 0
    assert seen == [shape]


def test_a_size_of_a_few_pixels_is_refused(images, network, capsys):
    assert cli.main(["classify", str(network), str(images), "--longest-side", "20"]) == 2
    assert "--longest-side: 20 is below 64 pixels" in capsys.readouterr().err


def test_another_threshold(images, network, monkeypatch, capsys):
    monkeypatch.setattr(classify, "scores", lambda *_: np.array([[0.5, 0.3, 0.2]]))
    arguments = ["classify", str(network), str(images / "red.jpg"), "--device", "cpu"]
    cli.main(arguments)
    cli.main([*arguments, "--threshold", "0.25"])
    assert capsys.readouterr().out.splitlines() == [
        "red.jpg: polar bear 0.50",
        "red.jpg: polar bear 0.50, cat 0.30",
    ]


def test_a_network_without_tags_is_refused(tmp_path, capsys):
    path, settings = tmp_path / "s.safetensors", SETTINGS | {"architecture": "largefov"}
    del settings["channels"], settings["dropout"]
    network = build("segmentation", settings, 3, pretrained=False)
    write_network(path, network, "segmentation", settings, NAMES)
    assert cli.main(["classify", str(path), str(tmp_path)]) == 2
    assert "knows no tags; choose results/cam/network.safetensors" in capsys.readouterr().err
