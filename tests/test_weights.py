"""Published weights: PyTorch and MXNet files, whole, truncated and of another network."""

import logging
import os
import re
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from seeds import SEED
from torch import nn

from psa_core.datasets.formats.reading import AS_STORED, Reading
from psa_core.errors import UserError
from psa_core.networks import weights
from psa_core.networks.builder import build
from psa_core.networks.files import import_weights, write_network
from psa_core.networks.metadata import read_metadata

PLAIN = AS_STORED._asdict()


class Unit(nn.Module):
    """A residual block's parameters by their published names, one channel."""

    def __init__(self):
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(1)
        self.conv_branch2a = nn.Conv2d(1, 2, 3, bias=False)


class Tiny(nn.Module):
    """Three published layers of ResNet38 and a classifier."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.conv1a = nn.Conv2d(3, 1, 3, bias=False)
        self.backbone.b4_1 = Unit()
        self.backbone.bn7 = nn.BatchNorm2d(2)
        self.classifier = nn.Conv2d(2, 5, 1, bias=False)


SHAPES = {
    "conv1a.weight": (1, 3, 3, 3),
    "b4_1.bn_branch2a.weight": (1,),
    "b4_1.bn_branch2a.bias": (1,),
    "b4_1.bn_branch2a.running_mean": (1,),
    "b4_1.bn_branch2a.running_var": (1,),
    "b4_1.conv_branch2a.weight": (2, 1, 3, 3),
    "bn7.weight": (2,),
    "bn7.bias": (2,),
    "bn7.running_mean": (2,),
    "bn7.running_var": (2,),
    "fc8.weight": (5, 2, 1, 1),
}


@pytest.fixture
def state():
    generator = torch.Generator().manual_seed(1 + SEED)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "published.pth"


def loaded(path, stage="cam", complete=True):
    """The state of a tiny network filled from a file, by our names."""
    network = Tiny()
    weights.load(network, stage, path, complete=complete)
    return network.state_dict()


def assert_filled(found, state):
    for name, tensor in state.items():
        key = "classifier.weight" if name == "fc8.weight" else f"backbone.{name}"
        assert torch.equal(found[key], tensor), name


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "before torch 1.6"])
def test_release_file(state, path, is_zip):
    counters = {"bn7.num_batches_tracked": torch.tensor(7)}
    torch.save(state | counters, path, _use_new_zipfile_serialization=is_zip)
    assert_filled(loaded(path), state)


def test_weights_of_another_stage_leave_the_head_new(state, path, caplog):
    caplog.set_level(logging.INFO)
    del state["fc8.weight"]
    torch.save(state | {"f9.weight": torch.zeros(1), "gn8_3.bias": torch.zeros(1)}, path)
    assert_filled(loaded(path, complete=False), state)
    assert f"10 tensors from {path}; new: fc8.weight" in caplog.text
    with pytest.raises(ValueError, match=r"published.pth: missing parameter fc8.weight of the cam"):
        loaded(path)


def test_first_missing_parameter_is_named(state, path):
    del state["b4_1.bn_branch2a.running_var"], state["bn7.bias"]
    torch.save(state, path)
    for complete in (False, True):
        with pytest.raises(ValueError, match=r"missing parameter b4_1.bn_branch2a.running_var of"):
            loaded(path, complete=complete)


def test_first_unknown_parameter_is_named(state, path):
    torch.save(state | {"b9.weight": torch.zeros(1), "b8.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"published.pth: unexpected parameter b9.weight for"):
        loaded(path)


def test_first_parameter_of_another_shape_is_named(state, path):
    torch.save(state | {"fc8.weight": torch.zeros(4, 2, 1, 1)}, path)
    with pytest.raises(
        ValueError, match=r"fc8.weight has shape \(4, 2, 1, 1\), expected \(5, 2, 1, 1\) for"
    ):
        loaded(path, complete=False)


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("part", [0, 0.02, 0.3, 0.7, 0.99])
def test_truncated_release_file_is_named(state, path, is_zip, part):
    torch.save(state, path, _use_new_zipfile_serialization=is_zip)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(ValueError, match=r"published.pth: not a readable weights file"):
        loaded(path)


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"epoch": 3, "model": {}}])
def test_file_without_a_state_is_named(path, content):
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"published.pth: not a dictionary of tensors"):
        loaded(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><title>Quota exceeded", "an HTML page: the download went wrong"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS: git lfs pull"),
        (b"", "the file is empty"),
        (b"\0" * 2000, "it holds zeros only"),
        (b"just a text", "no file of PyTorch, or with other objects than tensors"),
        (b"PK\3\4 no archive", "not a ZIP archive"),
    ],
)
def test_files_that_are_no_weights(path, content, reason):
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"published\.pth: not a readable .*{reason}") as error:
        loaded(path)
    assert "weights_only" not in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_paths_that_are_no_files_are_no_weights(path):
    os.mkfifo(path)
    with pytest.raises(UserError, match=r"published\.pth: no weights \(a pipe, not a file\)"):
        loaded(path)


def test_sizes_beyond_the_end_of_the_file_are_not_allocated(tmp_path):
    for shape, message in (
        ((2**40, 1), r"x\.params: truncated within array 1 of 1, shape"),
        ((-5, 1), r"x\.params: array 1 of 1 has shape \(-5, 1\); the file is damaged"),
        ((2**62, 0), r"x\.params: array 1 of 1 has shape \(\d+, 0\); the file is damaged"),
    ):
        array = struct.pack("<IiIqqiii", weights.V2, 0, 2, *shape, 1, 0, 0)
        (tmp_path / "x.params").write_bytes(struct.pack("<QQQ", 0x112, 0, 1) + array)
        with pytest.raises(UserError, match=message):
            weights.read_mxnet(tmp_path / "x.params")


class Command:
    def __reduce__(self):
        return (print, ("code of the file ran",))


def test_no_code_of_a_file_runs(path, capsys):
    torch.save({"conv1a.weight": Command()}, path)
    with pytest.raises(ValueError, match=r"published.pth: not a readable weights file"):
        loaded(path)
    assert capsys.readouterr().out == ""


# MXNet's names for the tiny network, in another order.
MXNET = {
    "arg:bn7_gamma": "bn7.weight",
    "arg:conv1a_weight": "conv1a.weight",
    "arg:bn4b1_branch2a_beta": "b4_1.bn_branch2a.bias",
    "arg:bn4b1_branch2a_gamma": "b4_1.bn_branch2a.weight",
    "arg:res4b1_branch2a_weight": "b4_1.conv_branch2a.weight",
    "arg:bn7_beta": "bn7.bias",
    "aux:bn4b1_branch2a_moving_var": "b4_1.bn_branch2a.running_var",
    "aux:bn4b1_branch2a_moving_mean": "b4_1.bn_branch2a.running_mean",
    "aux:bn7_moving_mean": "bn7.running_mean",
    "aux:bn7_moving_var": "bn7.running_var",
}


def array_bytes(array, magic=0xF993FAC9):
    """One dense array on CPU 0, byte by byte."""
    code = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4}[array.dtype.name]
    if magic is None:  # the first format: dimensions of 32 bits
        head = struct.pack("<I", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
    else:
        head = struct.pack("<I", magic) + (b"" if magic == 0xF993FAC8 else struct.pack("<i", 0))
        head += struct.pack("<I", array.ndim) + struct.pack(f"<{array.ndim}q", *array.shape)
    return head + struct.pack("<iii", 1, 0, code) + array.tobytes()


def list_bytes(arrays, **options):
    """A whole file, byte by byte: header, reserved, count, arrays, count, names."""
    data = struct.pack("<QQQ", 0x112, 0, len(arrays))
    data += b"".join(array_bytes(array, **options) for array in arrays.values())
    data += struct.pack("<Q", len(arrays))
    return data + b"".join(struct.pack("<Q", len(name)) + name.encode() for name in arrays)


@pytest.fixture
def mxnet(state):
    arrays = {name: state[ours].numpy() for name, ours in MXNET.items()}
    return arrays | {"arg:linear1000_weight": np.zeros((3, 2), np.float32)}


@pytest.mark.parametrize("magic", [0xF993FAC9, 0xF993FACA, 0xF993FAC8, None])
def test_mxnet_file(state, mxnet, tmp_path, magic, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "rna-a1-0001.params"
    path.write_bytes(list_bytes(mxnet, magic=magic))
    del state["fc8.weight"]
    assert_filled(loaded(path, complete=False), state)
    assert "10 tensors" in caplog.text
    assert "new: fc8.weight" in caplog.text


def test_bytes_of_an_mxnet_file(tmp_path):
    """A hex dump, independent of the function above: float16 [2] and int32 [1, 1]."""
    path = tmp_path / "two.params"
    path.write_bytes(
        bytes.fromhex(
            "12010000 00000000  00000000 00000000  02000000 00000000"
            "c9fa93f9 00000000  01000000 02000000 00000000  01000000 00000000  02000000  003c 00c0"
            "c8fa93f9           02000000 01000000 00000000 01000000 00000000"
            "                   02000000 01000000  04000000  ffffffff"
            "02000000 00000000  01000000 00000000 61  02000000 00000000 6162"
        )
    )
    arrays = weights.read_mxnet(path)
    assert list(arrays) == ["a", "ab"]
    assert arrays["a"].dtype == np.float16
    assert arrays["a"].tolist() == [1.0, -2.0]
    assert arrays["ab"].tolist() == [[-1]]


def test_names_of_resnet38_in_mxnet():
    """One name of each kind in Wu et al.'s file, and the release's name for it."""
    expected = {
        "arg:conv1a_weight": "conv1a.weight",
        "arg:res2a_branch1_weight": "b2.conv_branch1.weight",
        "arg:res2b1_branch2a_weight": "b2_1.conv_branch2a.weight",
        "arg:res4b5_branch2b1_weight": "b4_5.conv_branch2b1.weight",
        "arg:res6a_branch2b2_weight": "b6.conv_branch2b2.weight",
        "arg:bn6a_branch2b1_gamma": "b6.bn_branch2b1.weight",
        "arg:bn2a_branch2a_beta": "b2.bn_branch2a.bias",
        "aux:bn7a_branch2b2_moving_mean": "b7.bn_branch2b2.running_mean",
        "bn7_moving_var": "bn7.running_var",
        "arg:linear1000_bias": "linear1000.bias",
    }
    assert weights._resnet38_names("a.params", dict.fromkeys(expected)) == expected


def test_truncated_mxnet_file_is_named_wherever_it_ends(mxnet, tmp_path):
    """Arrays come first, in order, then their names."""
    path = tmp_path / "cut.params"
    whole = list_bytes(mxnet)
    starts = {8: "the header", 24: "array 1 of 11"}
    offset = 24
    for i, array in enumerate(mxnet.values(), start=1):
        offset += len(array_bytes(array))
        starts[offset - 1] = f"array {i} of 11, shape {array.shape},"
    starts |= {offset + 4: "the names", offset + 8: "name 1 of 11", len(whole) - 1: "name 11 of 11"}
    for length, what in starts.items():
        path.write_bytes(whole[:length])
        message = f"cut.params: truncated within {what}; download it again"
        with pytest.raises(ValueError, match=re.escape(message)):
            loaded(path, complete=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arg:bn4b1_branch2a_beta": None}, "missing parameter b4_1.bn_branch2a.bias of the cam"),
        ({"arg:bn7_gamma": (3,)}, "bn7.weight has shape (3,), expected (2,) for the cam network"),
        (
            {"arg:res9a_branch1_weight": (1,)},
            "unexpected parameter b9.conv_branch1.weight for",
        ),
        ({"arg:fc_momentum": (1,)}, "unexpected parameter arg:fc_momentum for ResNet38"),
    ],
)
def test_mxnet_file_of_another_network_names_the_parameter(mxnet, tmp_path, change, message):
    path = tmp_path / "other.params"
    for name, shape in change.items():
        mxnet.pop(name, None)
        if shape:
            mxnet[name] = np.zeros(shape, np.float32)
    path.write_bytes(list_bytes(mxnet))
    with pytest.raises(ValueError, match=rf"other.params: .*{re.escape(message)}"):
        loaded(path, complete=False)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (28, 1, "array 1 of 1 has storage type 1, expected dense"),
        (32, 99, "array 1 of 1 has 99 dimensions; the file is damaged"),
        (52, 9, "array 1 of 1 has type code 9; the file is damaged"),
        (64, 0, "0 names for 1 arrays"),
    ],
)
def test_broken_mxnet_file_is_named(tmp_path, at, value, message):
    """Offsets of an array of two floats: magic 24, storage 28, ndim 32, shape 36, context 44."""
    path = tmp_path / "broken.params"
    data = bytearray(list_bytes({"arg:bn7_gamma": np.ones(2, np.float32)}))
    data[at : at + 4] = struct.pack("<i", value)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"broken.params: {re.escape(message)}"):
        loaded(path)


SETTINGS = {"backbone": "resnet18", "output_stride": 32, "frozen_stages": 0}
CAM = SETTINGS | {"channels": None, "dropout": 0.0}
AFFINITY = SETTINGS | {"channels": [8, 8, 8], "group_norm": False}
NAMES = ["cat", "dog", "polar bear"]


@pytest.fixture
def trained(tmp_path):
    """The file of a CAM network of this workflow, and its weights."""
    torch.manual_seed(5 + SEED)
    network = build("cam", CAM, 3, pretrained=False)
    network.train()(torch.rand(2, 3, 64, 64))
    write_network(tmp_path / "cam.safetensors", network, "cam", CAM, NAMES)
    return tmp_path / "cam.safetensors", network.state_dict()


def test_network_of_this_workflow_is_imported_whole(trained, tmp_path):
    path, state = trained
    new = tmp_path / "new.safetensors"
    import_weights(new, "cam", CAM | {"weights": str(path)}, NAMES, PLAIN)
    found = load_file(new)
    assert found.keys() == state.keys()
    assert all(
        torch.equal(found[key], tensor)
        for key, tensor in state.items()
        if not key.endswith("num_batches_tracked")
    )


def test_an_imported_network_knows_how_its_images_are_read(trained, tmp_path):
    path, _ = trained  # which does not know it, as networks of earlier versions
    satellite = Reading((4, 3, 2), (0, 3000))._asdict()
    new, settings = tmp_path / "new.safetensors", CAM | {"weights": str(path)}
    import_weights(new, "cam", settings, NAMES, satellite)
    assert read_metadata(new)["images"] == {"bands": [4, 3, 2], "value_range": [0, 3000]}
    again = CAM | {"weights": str(new)}
    import_weights(tmp_path / "same.safetensors", "cam", again, NAMES, satellite)
    message = r"new.safetensors: .*set dataset: {bands: \[4, 3, 2\], value_range: \[0, 3000\]}"
    with pytest.raises(ValueError, match=message):
        import_weights("x", "cam", again, NAMES, PLAIN)


def test_network_of_other_classes_is_not_imported(trained):
    """Their order counts, too: index 1 would silently become another class."""
    path, _ = trained
    for names in (["dog", "cat", "polar bear"], ["cat", "dog", "cow"]):
        with pytest.raises(ValueError, match=r"cat, dog, polar bear, but .*set dataset.classes"):
            import_weights("x", "cam", CAM | {"weights": str(path)}, names, PLAIN)


def test_network_of_an_earlier_version_is_imported(trained, tmp_path):
    """Then network.pt, a dictionary with the number of classes."""
    _, state = trained
    saved = {"stage": "cam", "settings": CAM, "classes": 3, "state": state}
    torch.save(saved, tmp_path / "network.pt")
    start = CAM | {"weights": str(tmp_path / "network.pt")}
    import_weights(tmp_path / "new.safetensors", "cam", start, NAMES, PLAIN)
    found = load_file(tmp_path / "new.safetensors")
    assert torch.equal(found["classifier.weight"], state["classifier.weight"])


def test_network_of_another_stage_gives_its_backbone(trained):
    path, state = trained
    network = build("affinity", AFFINITY | {"weights": str(path)}, 3)
    key = "backbone.network.layer4.1.bn2.running_var"
    assert torch.equal(network.state_dict()[key], state[key])
    with pytest.raises(ValueError, match=r"missing parameter f8_3.weight of the affinity"):
        import_weights("x", "affinity", AFFINITY | {"weights": str(path)}, NAMES, PLAIN)


def test_random_weights_need_no_file_nor_package(monkeypatch):
    def refuse(*_):
        raise AssertionError("ImageNet weights were asked for")

    monkeypatch.setattr("psa_core.networks.timm_backbone.load_imagenet_weights", refuse)
    one = build("cam", CAM | {"weights": "random"}, 3).state_dict()
    two = build("cam", CAM | {"weights": "random"}, 3).state_dict()
    assert not torch.equal(
        one["backbone.network.conv1.weight"], two["backbone.network.conv1.weight"]
    )
    with pytest.raises(AssertionError, match=r"were asked for"):
        build("cam", CAM | {"weights": "imagenet"}, 3)
