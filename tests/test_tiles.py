"""Tiles: which parts are kept, and seams against the whole image."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from seeds import SEED
from torch import nn

from psa_core.delivery import prediction
from psa_core.delivery.predict import DCRF
from psa_core.delivery.prediction import Settings, predictor
from psa_core.delivery.tiles import Window, in_tiles, number_of_tiles, windows
from psa_core.method import segmentation

CPU = torch.device("cpu")


def test_tiles_meet_in_the_middle_of_their_overlap():
    # Steps of 6; the last tile ends with the axis and overlaps the one before by 5.
    assert windows(17, 8) == [Window(0, 8, 0, 7), Window(6, 14, 7, 11), Window(9, 17, 11, 17)]
    assert windows(14, 8) == [Window(0, 8, 0, 7), Window(6, 14, 7, 14)]
    assert windows(8, 8) == [Window(0, 8, 0, 8)]
    assert windows(5, 8) == [Window(0, 5, 0, 5)]


@pytest.mark.parametrize("length", [*range(1, 60), 100, 1001])
def test_tiles_keep_each_pixel_once_with_context(length):
    found = windows(length, 16)
    kept = [pixel for each in found for pixel in range(length)[each.kept]]
    assert kept == list(range(length))
    for each in found:
        assert each.stop - each.start == min(16, length)
        assert each.keep_start == 0 or each.keep_start - each.start >= 2
        assert each.keep_stop == length or each.stop - each.keep_stop >= 2


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_tiles_put_together_are_the_image(rng, batch):
    image = rng.integers(0, 256, (37, 50, 3), dtype=np.uint8)
    whole, sizes = np.zeros((3, 37, 50), np.uint8), []

    def predict(crops):
        sizes.append(len(crops))
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)

    tiles = list(in_tiles(predict, image, tile=16, batch=batch))
    assert len(tiles) == number_of_tiles((37, 50), 16) == 3 * 4
    for place, inside, part in tiles:
        whole[:, *place] = part[:, *inside]
    np.testing.assert_array_equal(whole, image.transpose(2, 0, 1))
    assert max(sizes) == min(batch, 3 * 4)  # starts at 0, 12, 21 and 0, 12, 24, 34


class Local(nn.Module):
    """Three classes from the mean colour of 3 x 3 cells of 8 pixels: it sees 8 pixels far."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3 + SEED)
        self.backbone = nn.Module()
        self.backbone.stride = 8
        self.layers = nn.Sequential(nn.AvgPool2d(8), nn.Conv2d(3, 3, 3, padding=1, bias=False))

    def forward(self, images):
        return 30 * self.layers(images - 0.5)


def predict_one(network, settings, image, *, keep=False):
    """The prediction for one image by `predictor`."""
    row = SimpleNamespace(height=image.shape[0], width=image.shape[1])
    return predictor(network, settings, CPU, keep=keep)([row], [image])[0]


@pytest.mark.parametrize("flip", [False, True])
def test_seams_do_not_show_where_the_network_sees_less_than_the_overlap(rng, flip):
    """At sizes that all scales divide into whole cells, the cells of tile and image coincide."""
    coarse = rng.integers(0, 256, (26, 34, 3), dtype=np.uint8)
    image = coarse.repeat(32, 0).repeat(32, 1)  # 832 x 1088: two tiles of 512 by three
    network = Local()
    whole, tiled = (
        predict_one(network, Settings([0.5, 1.0], flip, None, None, tile), image, keep=True)
        for tile in (None, 512)
    )
    assert len(np.unique(whole.labels)) > 1
    np.testing.assert_allclose(
        tiled.probabilities.astype(float), whole.probabilities.astype(float), atol=2e-3
    )
    assert (tiled.labels == whole.labels).mean() > 0.9999
    assert np.abs(tiled.confidence.astype(int) - whole.confidence).max() <= 1


def test_an_image_of_one_tile_is_not_tiled(rng, monkeypatch):
    monkeypatch.setattr(prediction, "in_tiles", None)
    image = rng.integers(0, 256, (64, 256, 3), dtype=np.uint8)
    found = predict_one(Local(), Settings([1.0], False, None, None, 256), image)
    assert found.labels.shape == (64, 256)
    assert found.probabilities is None


def test_a_dense_crf_sees_tiles(rng, monkeypatch):
    """Of a whole image too large for memory it could not."""
    seen = []
    monkeypatch.setattr(
        segmentation, "dense_crf", lambda image, scores, **_: seen.append(image.shape) or scores
    )
    image = rng.integers(0, 256, (300, 256, 3), dtype=np.uint8)
    predict_one(Local(), Settings([1.0], False, DCRF, None, 256), image)
    assert seen == [(256, 256, 3)] * 2
