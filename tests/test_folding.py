"""Batch norms taken into convolutions leave every output as it was."""

import pytest
import torch
from torch import nn

from psa_core import networks
from psa_core.networks.folding import fold_batch_norms

LITE0 = {"backbone": "tf_efficientnet_lite0", "weights": "random", "frozen_stages": 0}
SETTINGS = {
    "cam": {**LITE0, "output_stride": 16, "channels": 8, "dropout": 0.5},
    "affinity": {**LITE0, "output_stride": 16, "channels": [8, 8, 8], "group_norm": True},
    "segmentation": {
        **LITE0,
        "output_stride": 32,
        "architecture": "atrous",
        "level_channels": [8, 8, 8],
        "channels": 8,
        "dilation": 2,
    },
}


def with_random_norms(network: nn.Module) -> nn.Module:
    """Statistics and factors as a training might leave them."""
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_var, 0.5), (module.running_mean, -0.5)):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(module.bias, -0.5, 0.5, generator=generator)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("stage", SETTINGS)
def test_outputs_stay_and_no_norm_is_left(stage):
    torch.manual_seed(0)
    network = with_random_norms(networks.build(stage, SETTINGS[stage], 3))
    images = torch.rand(2, 3, 96, 128)
    folded = fold_batch_norms(network)
    assert norms(network) > 40  # the network itself is as it was
    assert norms(folded) == 0
    with torch.inference_mode():
        expected = network(images)
        torch.testing.assert_close(
            folded(images), expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max())
        )


def test_two_layers_by_hand():
    """y = 3 x + 1, then (y - 5) / sqrt(4) * 10 + 7: a factor of 15 and a bias of -13."""
    network = nn.Sequential(nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1, eps=0.0))
    network[0].weight.data.fill_(3.0)
    network[0].bias.data.fill_(1.0)
    network[1].running_mean.fill_(5.0)
    network[1].running_var.fill_(4.0)
    network[1].weight.data.fill_(10.0)
    network[1].bias.data.fill_(7.0)
    folded = fold_batch_norms(network.eval())
    torch.testing.assert_close(folded[0].weight.flatten(), torch.full((3,), 15.0))
    torch.testing.assert_close(folded[0].bias, torch.tensor([-13.0]))


class Branching(nn.Module):
    """Its convolution feeds the norm and the sum: it must not be folded."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.convolution(x)
        return y + self.norm(y)


def test_a_convolution_that_is_used_twice_is_left():
    network = with_random_norms(Branching())
    assert fold_batch_norms(network) is network
