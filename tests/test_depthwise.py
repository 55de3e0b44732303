"""Depthwise convolutions of a network on a GPU do not run in cuDNN."""

import pytest
import torch
from torch import nn

from psa_core.networks.builder import build
from psa_core.networks.files import read_network, write_network

SETTINGS = {
    "backbone": "tf_efficientnet_lite0",
    "weights": "random",
    "output_stride": 16,
    "frozen_stages": 0,
    "channels": 8,
    "dropout": 0.5,
}


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Reads one network as for a device; it stays on the CPU."""
    torch.manual_seed(0)
    file = tmp_path / "network.safetensors"
    write_network(file, build("cam", SETTINGS, 3), "cam", SETTINGS, ["a", "b", "c"])
    monkeypatch.setattr(nn.Module, "to", lambda network, *_, **__: network)
    return lambda device: read_network(file, torch.device(device))


@pytest.fixture
def convolutions(monkeypatch):
    """(whether it is depthwise, whether cuDNN may run it) of each convolution that ran."""
    ran, conv2d = [], nn.functional.conv2d

    def record(inputs, weight, *others):
        ran.append((weight.shape[1] == 1, torch.backends.cudnn.enabled))
        return conv2d(inputs, weight, *others)

    monkeypatch.setattr(nn.functional, "conv2d", record)
    return ran


@torch.inference_mode()
def test_only_depthwise_convolutions_avoid_cudnn(read, convolutions):
    image = torch.rand(1, 3, 64, 64)
    expected = read("cpu")(image)
    assert set(convolutions) == {(True, True), (False, True)}
    network = read("cuda")
    convolutions.clear()
    assert torch.equal(network(image), expected)
    assert set(convolutions) == {(True, False), (False, True)}
    assert torch.backends.cudnn.enabled
