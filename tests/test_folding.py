"""Folding batch norms into convolutions leaves every output the same."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from seeds import SEED
from torch import nn

from psa_core.method import cam, segmentation
from psa_core.networks.builder import build
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
    """Statistics and weights as after a training."""
    generator = torch.Generator().manual_seed(3 + SEED)
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
    network = with_random_norms(build(stage, SETTINGS[stage], 3))
    images = torch.rand(2, 3, 96, 128)
    folded = fold_batch_norms(network)
    assert norms(network) > 40  # the network itself is unchanged
    assert norms(folded) == 0
    with torch.inference_mode():
        expected = network(images)
        assert (folded(images) - expected).abs().max() <= 1e-4 * expected.abs().max()


def plain_loop(answer, image: np.ndarray, scales: list[float], multiple: int, size: list[int]):
    """The sum of a network's outputs for an image and its mirror image over the scales."""
    pixels = torch.from_numpy(image.transpose(2, 0, 1)[None] / np.float32(255))
    total = 0
    for scale in scales:
        sides = [max(1, round(side * scale / multiple)) * multiple for side in image.shape[:2]]
        batch = F.interpolate(pixels, sides, mode="bilinear", antialias=True)
        for seen, back in ((batch, lambda x: x), (batch.flip(3), lambda x: x.flip(3))):
            answers = back(answer(seen))
            total = total + F.interpolate(answers, size, mode="bilinear")
    return total[0].detach().numpy()


def trained(stage: str) -> nn.Module:
    """A network with ImageNet weights in its backbone and a random head."""
    return build(stage, SETTINGS[stage] | {"weights": "imagenet"}, 3).eval()


SCALES = [0.5, 1.0, 1.5]


def test_class_maps_are_those_of_the_plain_loop(rng):
    network = trained("cam")
    image = rng.integers(0, 256, (96, 130, 3), dtype=np.uint8)
    folded = fold_batch_norms(network).to(memory_format=torch.channels_last)
    found = cam.class_activation_maps(folded, [image], [[1, 3]], scales=SCALES, flip=True, stride=8)
    expected = plain_loop(
        lambda x: F.relu(network.activations(x)[:, [0, 2]]), image, SCALES, 16, [12, 17]
    )
    assert found[0].std() > 0.05
    np.testing.assert_allclose(found[0], cam.normalise(expected), rtol=0, atol=1e-4)


def test_label_maps_are_those_of_the_plain_loop(rng):
    network = trained("segmentation")
    image = rng.integers(0, 256, (96, 130, 3), dtype=np.uint8)
    folded = fold_batch_norms(network).to(memory_format=torch.channels_last)
    found = segmentation.predict(folded, [image], scales=SCALES, flip=True)[0]
    probabilities = plain_loop(lambda x: network(x).softmax(1), image, SCALES, 32, [96, 130]) / 6
    second, first = np.sort(probabilities, axis=0)[-2:]
    clear = first - second > 2e-4  # each probability may be off by 1e-4
    assert clear.mean() > 0.99
    assert len(np.unique(found)) > 1
    np.testing.assert_array_equal(found[clear], probabilities.argmax(0)[clear])


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
    """Its convolution feeds both the norm and the sum, so it must not be folded."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.convolution(x)
        return y + self.norm(y)


def test_a_convolution_used_twice_is_not_folded():
    network = with_random_norms(Branching())
    assert fold_batch_norms(network) is network
