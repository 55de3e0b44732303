"""Class activation maps against numbers worked out by hand (paper, eq. 1)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from psa_core.method import cam
from psa_core.networks.backbone import Features, scaled
from psa_core.networks.cam import CamNetwork


class BlockMeans(nn.Module):
    """A backbone whose feature map is the mean red and green of each 4x4 block."""

    final_channels, stride = 2, 4

    def forward(self, images):
        return Features([], F.avg_pool2d(images[:, :2], 4))


class Fixed(nn.Module):
    """A network that answers with given maps [C][h][w], chosen by the width of the image."""

    def __init__(self, maps_of_width, stride=8):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.backbone = SimpleNamespace(stride=stride)
        self.maps = {width: torch.tensor(maps) for width, maps in maps_of_width.items()}

    def activations(self, images):
        return self.maps[images.shape[3]].expand(len(images), -1, -1, -1)


BLACK = np.zeros((16, 16, 3), np.uint8)
ONE_SCALE = {"scales": [1.0], "flip": False, "stride": 8}


def maps_of(network, image, classes, **options):
    """The maps of one image."""
    (maps,) = cam.class_activation_maps(network, [image], [classes], **options)
    return maps


@pytest.fixture
def network():
    """Class 1: red - green, class 2: (red + green) / 2, class 3: -red."""
    network = CamNetwork(BlockMeans(), 3)
    weights = torch.tensor([[1.0, -1.0], [0.5, 0.5], [-1.0, 0.0]])
    network.classifier.weight.data = weights.view(3, 2, 1, 1)
    return network


@pytest.fixture
def blocks():
    """An 8x12 image of 2x3 blocks with red [[255, 102, 0], [51, 204, 153]] and green 51."""
    image = np.zeros((8, 12, 3), np.uint8)
    red = np.array([[255, 102, 0], [51, 204, 153]], np.uint8)
    image[..., 0] = red.repeat(4, 0).repeat(4, 1)
    image[..., 1] = 51
    return image


def test_maps_are_weighted_features_rectified_and_divided_by_their_maximum(network, blocks):
    # red [[1, .4, 0], [.2, .8, .6]], green .2: red - green [[.8, .2, -.2], [0, .6, .4]], / .8.
    # (red + green) / 2 = [[.6, .3, .1], [.2, .5, .4]], / .6. -red is nowhere positive.
    maps = maps_of(network, blocks, [1, 2, 3], scales=[1.0], flip=False, stride=4)
    expected = [
        [[1, 0.25, 0], [0, 0.75, 0.5]],
        [[1, 1 / 2, 1 / 6], [1 / 3, 5 / 6, 2 / 3]],
        [[0, 0, 0], [0, 0, 0]],
    ]
    np.testing.assert_allclose(maps, expected, atol=3e-5)
    assert maps.dtype == np.float32


def test_only_the_chosen_classes_in_their_order(network, blocks):
    options = {"scales": [1.0], "flip": False, "stride": 4}
    every = maps_of(network, blocks, [1, 2, 3], **options)
    some = maps_of(network, blocks, [2, 1], **options)
    np.testing.assert_array_equal(some, every[[1, 0]])


def test_forward_classifies_the_pooled_features(network, blocks):
    # Mean red (1 + .4 + 0 + .2 + .8 + .6) / 6 = .5, mean green .2.
    images = torch.from_numpy(blocks).permute(2, 0, 1)[None] / 255
    logits = network.eval()(images)
    np.testing.assert_allclose(logits.detach(), [[0.3, 0.35, -0.5]], atol=1e-6)


def test_scales_are_summed_before_the_division():
    # The 4x4 map of scale 2 halves to its block means [[.5, 2], [0, 0]]; added to that of
    # scale 1, [[1, 0], [3, 0]], it makes [[1.5, 2], [3, 0]], to be divided by 3.
    small = [[[1.0, 0.0], [3.0, 0.0]]]
    large = [[[1.0, 0, 4, 0], [0, 1, 0, 4], [0, 0, 0, 0], [0, 0, 0, 0]]]
    network = Fixed({16: small, 32: large})
    maps = maps_of(network, BLACK, [1], scales=[1.0, 2.0], flip=False, stride=8)
    np.testing.assert_allclose(maps, [[[1 / 2, 2 / 3], [1, 0]]], atol=1e-5)


def test_negative_activations_do_not_cancel_another_scale():
    network = Fixed({16: [[[1.0, 2.0]] * 2], 32: [[[-5.0] * 4] * 4]})
    maps = maps_of(network, BLACK, [1], scales=[1.0, 2.0], flip=False, stride=8)
    np.testing.assert_allclose(maps, [[[0.5, 1]] * 2], atol=1e-5)


def test_mirrored_map_is_mirrored_back():
    # A network that answers the same to image and mirror: [[4, 1], [0, 2]] + [[1, 4], [2, 0]].
    network = Fixed({16: [[[4.0, 1.0], [0.0, 2.0]]]})
    maps = maps_of(network, BLACK, [1], scales=[1.0], flip=True, stride=8)
    np.testing.assert_allclose(maps, [[[1, 1], [0.4, 0.4]]], atol=1e-5)


def test_mirror_changes_nothing_for_an_equivariant_network(network, blocks):
    options = {"scales": [1.0], "stride": 4}
    plain = maps_of(network, blocks, [1, 2], flip=False, **options)
    mirrored = maps_of(network, blocks, [1, 2], flip=True, **options)
    np.testing.assert_allclose(mirrored, plain, atol=1e-5)


def test_square_root_is_taken_of_each_scale():
    # sqrt [[1, 4], [9, 0]] = [[1, 2], [3, 0]] and sqrt 16 = 4 in each cell: [[5, 6], [7, 4]] / 7;
    # a negative activation is 0 before the root.
    network = Fixed({16: [[[1.0, 4.0], [9.0, -1.0]]], 32: [[[16.0] * 4] * 4]})
    maps = maps_of(network, BLACK, [1], scales=[1.0, 2.0], flip=False, stride=8, square_root=True)
    np.testing.assert_allclose(maps, [[[5 / 7, 6 / 7], [1, 4 / 7]]], atol=1e-5)


@pytest.mark.parametrize(
    ("size", "grid"), [((33, 50), (5, 7)), ((32, 48), (4, 6)), ((8, 1), (1, 1))]
)
def test_grid_is_the_image_divided_by_the_stride_rounded_up(network, size, grid):
    image = np.full((*size, 3), 200, np.uint8)
    maps = maps_of(network, image, [2], scales=[1.0, 0.5], flip=True, stride=8)
    assert maps.shape == (1, *grid)


def test_class_that_is_nowhere_seen_gives_zeros_not_nan():
    network = Fixed({16: [[[-1.0, -2.0]] * 2]})
    maps = maps_of(network, BLACK, [1], **ONE_SCALE)
    np.testing.assert_array_equal(maps, np.zeros((1, 2, 2)))


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((32, 64), 1.0, (32, 64)),
        ((50, 33), 1.0, (48, 32)),
        ((64, 96), 1.5, (96, 144)),
        ((20, 20), 0.25, (16, 16)),
    ],
)
def test_scaled_sides_are_multiples_of_the_stride(size, scale, expected):
    assert scaled(torch.zeros(1, 3, *size), scale, 16).shape == (1, 3, *expected)


def test_soft_margin_loss():
    # Logits (0, ln 3) against (1, 0): -(ln sigmoid(0) + ln(1 - sigmoid(ln 3))) / 2
    # = (ln 2 + ln 4) / 2 = 1.5 ln 2.
    logits = torch.tensor([[0.0, float(np.log(3))]])
    terms = cam.losses(lambda images: logits, torch.zeros(1, 3, 8, 8), torch.tensor([[1.0, 0.0]]))
    assert terms["loss"].item() == pytest.approx(1.5 * np.log(2))


def test_image_level_labels_as_vectors():
    vectors = cam.label_vectors([[1, 3], [4], []], 4)
    assert [vector.tolist() for vector in vectors] == [[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert vectors[0].dtype == torch.float32
