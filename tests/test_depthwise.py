"""Depthwise convolutions: quick gradients of dilated ones on a CPU, no cuDNN on a GPU."""

import copy

import pytest
import torch
from seeds import SEED
from torch import nn

from psa_core.networks.builder import build
from psa_core.networks.depthwise import DilatedDepthwise, speed_up_dilated
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
    copied = copy.deepcopy(network)
    torch.nn.init.zeros_(network.backbone.network.blocks[0][0].conv_dw.weight)
    assert torch.equal(copied(image), expected)


def with_gradients(convolution, inputs):
    """Output, and gradients of the input, the weights and the bias."""
    inputs = inputs.clone().requires_grad_()
    outputs = convolution(inputs)
    (outputs * outputs.detach().cos()).sum().backward()
    return [outputs, inputs.grad, *(each.grad for each in convolution.parameters())]


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (2, 1)])
@pytest.mark.parametrize(("side", "dilation"), [(3, 2), (5, 2), (5, 3)])
def test_a_dilated_convolution_is_the_library_s(size, side, dilation):
    torch.manual_seed(SEED)
    padding = dilation * (side // 2)
    options = {"padding": padding, "dilation": dilation, "groups": 4, "dtype": torch.float64}
    library = nn.Conv2d(4, 4, side, **options)
    ours = nn.Sequential(copy.deepcopy(library))
    speed_up_dilated(ours)
    assert type(ours[0]) is DilatedDepthwise
    inputs = torch.rand(2, 4, *size, dtype=torch.float64)
    for found, expected in zip(
        with_gradients(ours, inputs), with_gradients(library, inputs), strict=True
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": 1},  # not dilated
        {"padding": 2, "dilation": 2, "stride": 2},
        {"padding": 1, "dilation": 2},  # a smaller output
        {"padding": 2, "dilation": 2, "groups": 1},
        {"padding": (2, 1), "dilation": (2, 1)},
        {"padding": 2, "dilation": 2, "padding_mode": "circular"},
    ],
)
def test_other_convolutions_stay_as_they_are(options):
    network = nn.Sequential(nn.Conv2d(4, 4, 3, **{"groups": 4, **options}))
    speed_up_dilated(network)
    assert type(network[0]) is nn.Conv2d


def test_a_network_for_training_has_quick_dilated_convolutions():
    def dilated(stride):
        network = build("cam", {**SETTINGS, "output_stride": stride}, 3)
        modules = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
        wide = [m for m in modules if max(m.dilation) > 1]
        return len(wide), {type(m) for m in wide}

    assert dilated(32) == (0, set())
    assert dilated(16) == (4, {DilatedDepthwise})


def test_only_activations_that_are_trained_keep_their_input():
    network = build("cam", {**SETTINGS, "frozen_stages": 2}, 3).train()
    activations = [m for m in network.modules() if isinstance(m, nn.ReLU6)]
    assert {(m.training, m.inplace) for m in activations} == {(True, False), (False, True)}
    network.eval()
    assert all(m.inplace for m in activations)
