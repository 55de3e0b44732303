"""Loss and prediction of the segmentation model, with networks that answer by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from psa_core.method import segmentation
from psa_core.runtime import parallel


class Fixed(nn.Module):
    """Answers with given class probabilities [C][h][w], chosen by the width of the image."""

    def __init__(self, probabilities_of_width, stride=8):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.backbone = SimpleNamespace(stride=stride)
        self.logits = {
            width: torch.tensor(probabilities).log()
            for width, probabilities in probabilities_of_width.items()
        }

    def forward(self, images):
        return self.logits[images.shape[3]].expand(len(images), -1, -1, -1)


def two_classes(second):
    """Probabilities of two classes from those of the second."""
    second = np.array(second)
    return np.stack([1 - second, second]).tolist()


BLACK = np.zeros((8, 16, 3), np.uint8)


def test_loss_is_the_mean_over_pixels_that_are_not_ignored():
    # Probabilities 1/4 and 3/4 everywhere; targets 0, 1, 1 and one ignored pixel:
    # (log 4 + 2 log 4/3) / 3.
    logits = torch.tensor([1 / 4, 3 / 4]).log().view(1, 2, 1, 1).expand(1, 2, 1, 2)
    labels = torch.tensor([[[0, 1, 1, 255]]])
    terms = segmentation.losses(lambda images: logits, torch.zeros(1, 3, 1, 4), labels)
    expected = (np.log(4) + 2 * np.log(4 / 3)) / 3
    assert terms["loss"].item() == pytest.approx(expected, rel=1e-6)


def test_logits_are_upsampled_to_the_labels():
    # Margins 0 and 4 at two cells are 0, 1, 3, 4 at four pixels; label 0 throughout.
    logits = torch.tensor([[[[0.0, 0.0]], [[0.0, 4.0]]]])
    terms = segmentation.losses(
        lambda images: logits, torch.zeros(1, 3, 1, 4), torch.zeros(1, 1, 4, dtype=torch.int64)
    )
    expected = np.mean([np.log(1 + np.exp(margin)) for margin in (0, 1, 3, 4)])
    assert terms["loss"].item() == pytest.approx(expected, rel=1e-6)


def test_nothing_but_ignored_pixels_gives_no_loss_and_no_gradient():
    logits = torch.rand(1, 2, 2, 2, requires_grad=True)
    terms = segmentation.losses(
        lambda images: logits, torch.zeros(1, 3, 4, 4), torch.full((1, 4, 4), 255)
    )
    terms["loss"].backward()
    assert terms["loss"] == 0
    assert (logits.grad == 0).all()


def predict(network, *, scales=(1.0,), flip=False, image=BLACK):
    return segmentation.predict(network, [image], scales=scales, flip=flip)[0]


def test_probabilities_are_averaged_over_scales_not_logits():
    # Second class: .45 + .45 + .7 = 1.6 > 1.5 wins over three scales; .45 + .45 + .55 does not.
    # The mean of the logits of .999 and .3 is positive, the mean of probabilities .3, .3, .85 is
    # .483: the first class wins.
    maps = {
        16: [[0.45, 0.45, 0.3, 0.3]],
        32: [[0.45, 0.45, 0.3, 0.3]],
        8: [[0.7, 0.55, 0.85, 0.999]],
    }
    network = Fixed({width: two_classes(second) for width, second in maps.items()})
    labels = predict(network, scales=(1.0, 2.0, 0.5), image=np.zeros((8, 16, 3), np.uint8))
    assert labels.shape == (8, 16)
    assert labels.dtype == np.uint8
    assert labels[0, [1, 5, 9, 14]].tolist() == [1, 0, 0, 1]


def test_mirror_is_mirrored_back():
    # The answer to image and mirror is the same, (.6, .1): with its mirror image (.35, .35).
    # Alone it falls from .6 at 3.5 pixels to .1 at 11.5, and is above .5 up to pixel 5.
    network = Fixed({16: two_classes([[0.6, 0.1]])})
    assert predict(network)[0].tolist() == [1] * 6 + [0] * 10
    assert (predict(network, flip=True) == 0).all()
    network = Fixed({16: two_classes([[0.95, 0.1]])})
    assert (predict(network, flip=True) == 1).all()


class Reds(nn.Module):
    """Pixels with red above a half are class 1: an equivariant network."""

    def __init__(self):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.backbone = SimpleNamespace(stride=8)

    def forward(self, images):
        red = nn.functional.avg_pool2d(images[:, :1], 8)
        return torch.cat([0.5 - red, red - 0.5], 1) * 20


@pytest.mark.parametrize("flip", [False, True])
def test_prediction_follows_the_image(flip):
    image = np.zeros((32, 48, 3), np.uint8)
    image[:16, :24, 0] = 255
    labels = predict(Reds(), scales=(0.5, 1.0, 1.5), flip=flip, image=image)
    assert labels[:13, :20].all()
    assert not labels[19:].any()
    assert not labels[:, 28:].any()


def test_prediction_has_the_size_of_the_image():
    assert predict(Reds(), scales=(0.75, 1.0), image=np.zeros((33, 50, 3), np.uint8)).shape == (
        33,
        50,
    )


def test_prediction_of_a_resized_image_has_the_size_that_is_asked_for():
    """From an image at half the size: the object is where it is in the whole image."""
    image = np.zeros((32, 48, 3), np.uint8)
    image[:16, :24] = 255
    labels = segmentation.predict(Reds(), [image], scales=[1.0], flip=False, size=(64, 96))[0]
    assert labels.shape == (64, 96)
    assert labels[:28, :44].all()
    assert not labels[36:].any()
    assert not labels[:, 52:].any()


@pytest.mark.parametrize("size", [(6, 8), (13, 7)])
def test_best_class_is_the_arg_max(rng, size):
    found = torch.from_numpy(rng.random((2, 5, 6, 8), np.float32))
    labels, best = segmentation.best_class(found, size)
    whole = nn.functional.interpolate(found, size, mode="bilinear", align_corners=False)
    assert torch.equal(labels, whole.argmax(1).byte())
    assert torch.equal(best, whole.max(1).values)


def test_of_equal_probabilities_the_first_wins():
    labels, _ = segmentation.best_class(torch.full((1, 3, 2, 2), 0.25), (2, 2))
    assert (labels == 0).all()


CRF = {
    "iterations": 5,
    "gaussian": {"sxy": 3, "compat": 3},
    "bilateral": {"sxy": 20, "srgb": 5, "compat": 5},
}


def test_a_crf_refines_the_averaged_probabilities():
    """The border of a red square is blurred by cells of 8 pixels; the CRF finds it in the image."""
    image = np.zeros((40, 56, 3), np.uint8)
    image[:20, :28, 0] = 255
    square = image[..., 0] > 0

    def wrong(**options):
        return (predict_with(image, **options) != square).sum()

    def predict_with(image, **options):
        return segmentation.predict(Reds(), [image], scales=[1.0], flip=False, **options)[0]

    assert wrong(dcrf=CRF) < wrong() / 4
    np.testing.assert_array_equal(
        predict_with(image, dcrf=CRF | {"iterations": 0}), predict_with(image)
    )
    with parallel.forked(2) as refine_all:
        np.testing.assert_array_equal(
            predict_with(image, dcrf=CRF, refine_all=refine_all), predict_with(image, dcrf=CRF)
        )


def test_the_crf_keeps_a_class_that_wins_with_little(monkeypatch):
    """Of 21 classes that all have next to the same probability."""
    monkeypatch.setattr(segmentation, "dense_crf", lambda image, scores, **_: scores)
    probabilities = np.full((21, 4, 4), 0.0455, np.float32)
    probabilities[5] = 0.09
    refined = segmentation.refine(np.zeros((4, 4, 3), np.uint8), probabilities, **CRF)
    assert (refined.argmax(0) == 5).all()


def test_the_crf_leaves_out_classes_that_win_nowhere(monkeypatch, rng):
    seen = []

    def record(image, scores, **_):
        seen.append(scores)
        return scores

    monkeypatch.setattr(segmentation, "dense_crf", record)
    probabilities = np.full((4, 5, 6), 0.04, np.float32)
    probabilities[0], probabilities[2] = 0.5, 0.42
    refined = segmentation.refine(np.zeros((5, 6, 3), np.uint8), probabilities, **CRF)
    assert seen[0].shape == (1, 2, 5, 6)
    np.testing.assert_array_equal(refined[[0, 2]], probabilities[[0, 2]])
    assert (refined[[1, 3]] == 0).all()
