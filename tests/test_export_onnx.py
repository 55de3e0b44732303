"""Networks as ONNX against torch, at other sizes; the example that runs one without torch."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from seeds import ROOT

from psa_core.delivery import cli, export_onnx
from psa_core.errors import UserError
from psa_core.networks.builder import build
from psa_core.networks.files import read_network, read_tensors, write_network, write_tensors
from psa_core.networks.metadata import read_metadata

CPU = torch.device("cpu")
HEADS = {
    "cam": {"channels": None, "dropout": 0.0},
    "affinity": {"channels": [8, 8, 16], "group_norm": True},
    "segmentation": {
        **{"architecture": "atrous", "level_channels": [8, 8, 8]},
        **{"channels": 8, "dilation": 6},
    },
}
NAMES = ["cat", "polar bear"]
RESNET = {"backbone": "resnet18", "output_stride": 32, "frozen_stages": 0}


def write(folder, stage, backbone, stride, **settings):
    """A network file, and the network that it is read as."""
    settings = HEADS[stage] | settings
    settings |= {"backbone": backbone, "output_stride": stride, "frozen_stages": 0}
    network = build(stage, settings, 2, pretrained=False)
    write_network(folder / "n.safetensors", network, stage, settings, NAMES)
    return folder / "n.safetensors", read_network(folder / "n.safetensors", CPU)


@pytest.mark.parametrize(
    ("stage", "backbone", "stride"),
    [
        ("cam", "tf_efficientnet_lite0", 16),
        ("affinity", "tf_efficientnet_lite0", 16),
        ("segmentation", "tf_efficientnet_lite0", 32),
        ("segmentation", "resnet50", 8),
        ("cam", "vgg16", 8),
        pytest.param("segmentation", "resnet38", 8, marks=pytest.mark.slow),
    ],
)
def test_onnx_and_torch_agree_at_two_sizes(tmp_path, stage, backbone, stride):
    path, network = write(tmp_path, stage, backbone, stride)
    assert cli.main(["export-onnx", str(path), str(tmp_path / "n.onnx")]) == 0
    session = onnxruntime.InferenceSession(tmp_path / "n.onnx", providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["psa"])["classes"] == NAMES
    for size in ((1, 3, 64, 96), (2, 3, 128, 32)):
        images = torch.rand(size)
        found = dict(
            zip(
                [output.name for output in session.get_outputs()],
                session.run(None, {"images": images.numpy()}),
                strict=True,
            )
        )
        with torch.no_grad():
            expected = {"features" if stage == "affinity" else "logits": network(images)}
            if stage == "cam":
                expected["activations"] = network.activations(images)
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            largest = tensor.abs().max().item()
            np.testing.assert_allclose(found[name], tensor.numpy(), rtol=0, atol=1e-4 * largest)


def test_dilated_convolutions_are_exported_as_such(tmp_path):
    path, _ = write(tmp_path, "affinity", "tf_efficientnet_lite0", 16)
    export_onnx.export(path, tmp_path / "n.onnx")
    nodes = onnx.load(tmp_path / "n.onnx").graph.node
    options = [{each.name: each for each in node.attribute} for node in nodes]
    dilations = [list(each["dilations"].ints) for each in options if "dilations" in each]
    assert dilations.count([2, 2]) == 4


def test_a_wrong_export_is_not_kept(tmp_path, monkeypatch, capsys):
    path, _ = write(tmp_path, "cam", "resnet18", 32)
    monkeypatch.setattr(export_onnx, "_difference", lambda *_: 2e-4)
    assert cli.main(["export-onnx", str(path), str(tmp_path / "n.onnx")]) == 2
    assert "differs from torch by 2.0e-04" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["n.safetensors"]


@torch.no_grad()
def test_the_example_makes_a_mask_without_torch(tmp_path, rng):
    """Of an image whose sides are multiples of the stride: then nothing but logits is resized."""
    path, network = write(tmp_path, "segmentation", "resnet18", 32)
    export_onnx.export(path, tmp_path / "n.onnx")
    image = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "image.png")
    (tmp_path / "torch.py").write_text("raise ImportError('the example imports torch')")
    script = (ROOT / "examples/predict_onnx.py").read_text()
    assert len(script.splitlines()) < 40
    (tmp_path / "example.py").write_text(script)  # beside torch.py, so that it would find it first
    command = [sys.executable, "example.py", "n.onnx", "image.png", "mask.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    images = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    logits = torch.nn.functional.interpolate(network(images), (64, 96), mode="bilinear")
    mask = np.array(Image.open(tmp_path / "mask.png"))
    assert mask.shape == (64, 96)
    assert (mask == logits.argmax(1)[0].numpy()).mean() > 0.99
    assert sum(float(line.split(": ")[1].split("%")[0]) for line in done.stdout.splitlines()) > 99


def test_a_vision_transformer_is_refused_and_leaves_nothing(tmp_path):
    path, _ = write(tmp_path, "cam", "test_vit2", 16)
    with pytest.raises(UserError, match=r"n\.safetensors: torch cannot export test_vit2 as ONNX"):
        export_onnx.export(path, tmp_path / "n.onnx")
    assert [each.name for each in tmp_path.iterdir()] == ["n.safetensors"]


def test_prototypes_are_refused_wherever_a_network_is_asked_for(tmp_path, capsys):
    path, _ = write(tmp_path, "cam", "resnet18", 32)
    write_tensors(path, read_tensors(path), read_metadata(path) | {"stage": "prototypes"})
    assert cli.main(["export-onnx", str(path), str(tmp_path / "n.onnx")]) == 2
    assert "made for the class maps" in capsys.readouterr().err
    assert not (tmp_path / "n.onnx").exists()
    assert cli.main(["classify", str(path), str(tmp_path)]) == 2
    assert "stage prototypes, which knows no tags" in capsys.readouterr().err
    with pytest.raises(UserError, match="choose the network"):
        build("cam", {**HEADS["cam"], **RESNET, "weights": str(path)}, 2)
