"""Batches of images of one size against each image alone, as on a GPU but on the CPU."""

import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image
from seeds import SEED
from torch import nn

from psa_core.datasets import index
from psa_core.datasets.formats.source import DatasetError
from psa_core.datasets.index import ImageRow
from psa_core.method import affinity, cam, segmentation
from psa_core.networks.backbone import Features
from psa_core.networks.cam import CamNetwork
from psa_core.runtime import inference

# What decides on batches is the device's name alone; networks and images stay on the CPU.
DEVICES = {"alone": torch.device("cpu"), "in batches": torch.device("cuda")}
LABELS = [[1], [1, 3], [2, 3], [1, 2, 3], [3], [2], [1, 2]]


class Convolutions(nn.Module):
    """A backbone of two strided convolutions with random weights; stride 4."""

    stride, final_channels = 4, 6

    def __init__(self):
        super().__init__()
        torch.manual_seed(2 + SEED)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.Tanh(), nn.Conv2d(5, 6, 3, 2, padding=1)
        )

    def forward(self, images):
        return Features([], self.layers(images - 0.5))


class Head(nn.Module):
    """Backbone and a 1x1 convolution: three classes, or as many features."""

    def __init__(self):
        super().__init__()
        self.backbone = Convolutions()
        self.last = nn.Conv2d(6, 3, 1)

    def forward(self, images):
        features = self.last(self.backbone(images).final)
        return 9 * (features - features.mean((2, 3), keepdim=True))  # no class is everywhere


def cam_network() -> CamNetwork:
    """It sees each class in each image, whatever its random weights: sums of positive features."""
    network = CamNetwork(Convolutions(), 3).eval()
    network.backbone.layers[-1].bias.data += 1
    network.classifier.weight.data.abs_()
    return network


@pytest.fixture
def images(tmp_path, rng):
    """The index of seven images: four of 33 x 50 pixels, two of 50 x 33, one of 24 x 40."""
    sizes = [(33, 50), (50, 33), (33, 50), (24, 40), (33, 50), (50, 33), (33, 50)]
    rows = []
    for k, (height, width) in enumerate(sizes):
        path = tmp_path / f"{k}.png"
        coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((width, height)).save(path)
        rows.append(ImageRow(f"i{k}", str(path), "", (), tuple(LABELS[k]), height, width))
    return rows


@pytest.fixture
def small_batches(monkeypatch):
    """Three images of 33 x 50 pixels a batch."""
    monkeypatch.setattr(inference, "BATCH_PIXELS", 3 * 33 * 50 + 100)


def test_groups_have_one_size_and_at_most_so_many_pixels(images):
    groups = inference.batches(images, 3 * 33 * 50 + 100)
    assert [[row.image for row in group] for group in groups] == [
        ["i0", "i2", "i4"],
        ["i1", "i5"],
        ["i3"],
        ["i6"],
    ]


def test_an_image_larger_than_a_batch_is_alone(images):
    assert [[row.image for row in group] for group in inference.batches(images, 1)] == [
        [f"i{k}"] for k in range(7)
    ]


def test_voc_images_come_in_eights():
    images = [ImageRow(f"i{k}", "", "", (), (), 375, 500) for k in range(17)]
    groups = inference.batches(images, inference.BATCH_PIXELS)
    assert [len(group) for group in groups] == [8, 8, 1]


def test_pixels_of_a_batch_count_after_resizing():
    images = [ImageRow(f"i{k}", "", "", (), (), 188, 250) for k in range(17)]
    groups = inference.batches(images, inference.BATCH_PIXELS, longest_side=500)
    assert [len(group) for group in groups] == [7, 7, 3]  # of 376 x 500 pixels


def test_images_are_resized_and_rows_tell_their_own_size(images):
    def sizes(rows, pixels):
        return [
            ((row.height, row.width), each.shape) for row, each in zip(rows, pixels, strict=True)
        ]

    results = inference.predictions(sizes, images, torch.device("cpu"), longest_side=100)
    for row, (size, shape) in results:
        assert size == (row.height, row.width)
        assert max(shape[:2]) == 100


@pytest.mark.parametrize("flip", [False, True])
def test_class_maps_of_a_batch_are_those_of_each_image(images, small_batches, flip):
    network = cam_network()
    options = {"scales": [0.5, 1.0, 1.7], "flip": flip, "stride": 5}

    def predict(rows, pixels):
        classes = [row.classes for row in rows]
        return cam.class_activation_maps(network, pixels, classes, **options)

    alone, batched = run(predict, images)
    assert {image: len(maps) for image, maps in alone.items()} == {
        f"i{k}": len(classes) for k, classes in enumerate(LABELS)
    }
    for image in alone:
        np.testing.assert_allclose(batched[image], alone[image], atol=1e-4)
    assert all(np.abs(maps).max() > 0.9 for maps in alone.values())


@pytest.mark.parametrize("flip", [False, True])
def test_label_maps_of_a_batch_are_those_of_each_image(images, small_batches, flip):
    network = Head()

    def predict(rows, pixels):
        return segmentation.predict(network, pixels, scales=[0.6, 1.0, 1.5], flip=flip)

    alone, batched = run(predict, images)
    for image, labels in alone.items():
        assert len(np.unique(labels)) > 1
        assert (batched[image] == labels).mean() > 0.999  # but for a tie


def test_edges_of_a_batch_are_those_of_each_image(images, small_batches):
    network = Head()

    def predict(rows, pixels):
        return affinity.edges(network, pixels, gamma=3, distance="sum", scale=1.3)

    alone, batched = run(predict, images)
    for image, edges in alone.items():
        assert np.nanstd(edges) > 0.05
        np.testing.assert_allclose(batched[image], edges, atol=1e-3)  # half precision


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_become_no_labels(images, value):
    """Of NaN the arg max is the first class: an image would be all background."""
    network, maps = Head(), cam_network()
    for layer in (network.last, maps.classifier):
        layer.weight.data.fill_(value)
    options = {"scales": [1.0], "flip": False}
    stages = [
        lambda _, pixels: cam.class_activation_maps(maps, pixels, [[1]], **options, stride=5),
        lambda _, pixels: affinity.edges(network, pixels, gamma=3, distance="sum"),
        lambda _, pixels: segmentation.predict(network, pixels, **options),
    ]
    for predict in stages:
        done = inference.predictions(predict, images, DEVICES["alone"])
        with pytest.raises(ValueError, match=r"not finite.*device: cpu.*learning_rate") as error:
            next(done)
        assert error.value.__notes__ == ["at i0"]


def test_half_precision_gives_nearly_the_same(images, monkeypatch):
    """A GPU's float16, on the CPU: 11 bits, and so about three decimal places."""

    def results():
        pixels, classes = [images[0].read()], [[1, 2, 3]]
        options = {"scales": [0.6, 1.0], "flip": True}
        return (
            cam.class_activation_maps(cam_network(), pixels, classes, **options, stride=5)[0],
            affinity.edges(Head(), pixels, gamma=3, distance="sum", scale=1.3)[0],
            segmentation.predict(Head(), pixels, **options)[0],
        )

    expected_maps, expected_edges, expected_labels = results()
    for module in (cam, affinity, segmentation):
        monkeypatch.setattr(module, "half_precision", lambda _: torch.autocast("cpu", torch.half))
    maps, edges, labels = results()
    assert 0 < np.abs(maps - expected_maps).max() < 5e-3
    np.testing.assert_allclose(edges, expected_edges, atol=5e-3)
    assert (labels == expected_labels).mean() > 0.99


def run(predict, images):
    """Predictions by image name: each image alone, and in batches."""
    results = [list(inference.predictions(predict, images, d)) for d in DEVICES.values()]
    order = [[row.image for row, _ in result] for result in results]
    assert order == [[f"i{k}" for k in range(7)], ["i0", "i2", "i4", "i1", "i5", "i3", "i6"]]
    return [{row.image: prediction for row, prediction in result} for result in results]


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_each_image_goes_with_its_row(images, small_batches, device):
    def predict(rows, pixels):
        return list(zip([row.image for row in rows], pixels, strict=True))

    seen = list(inference.predictions(predict, images, device))
    assert len(seen) == 7
    for row, (image, pixels) in seen:
        assert row.image == image
        np.testing.assert_array_equal(pixels, Image.open(row.path))


def test_four_images_are_under_way_and_no_more(images, monkeypatch):
    read = []
    read_image = index.read_image
    monkeypatch.setattr(index, "read_image", lambda *file: read.append(file) or read_image(*file))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    results = inference.predictions(lambda rows, pixels: pixels, images, torch.device("cpu"))
    for taken, _ in enumerate(results, start=1):
        end = time.monotonic() + 30
        while len(read) < min(7, taken + 4) and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(read) == min(7, taken + 4)


@pytest.mark.parametrize(
    ("threads", "streams", "each"), [(1, 1, 1), (2, 2, 1), (5, 2, 2), (8, 2, 4)]
)
def test_a_cpu_has_two_images_at_once_that_share_its_threads(
    images, monkeypatch, threads, streams, each
):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: set_threads.append(number))
    set_threads, at_once, seen = [], [], []
    together = threading.Barrier(streams)

    def predict(rows, pixels):
        at_once.extend(rows)
        if rows[0].image != "i6":  # pairs: the last of the seven is alone
            together.wait(30)
        seen.append(len(at_once))
        time.sleep(0.02)
        at_once.remove(rows[0])
        return pixels

    assert len(list(inference.predictions(predict, images, torch.device("cpu")))) == 7
    assert max(seen) == streams
    assert set_threads == [each] * streams


def test_a_gpu_has_one_batch_at_once(images, small_batches):
    at_once = []

    def predict(rows, pixels):
        at_once.append(1)
        time.sleep(0.02)
        at_once.pop()
        assert not at_once
        return pixels

    assert len(list(inference.predictions(predict, images, torch.device("cuda")))) == 7


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_a_corrupt_image_is_named_after_those_before_it(images, small_batches, device):
    broken = images[5].path
    with open(broken, "r+b") as file:
        file.truncate(60)
    results = inference.predictions(lambda rows, pixels: pixels, images, device)
    before = ["i0", "i2", "i4"] if device.type == "cuda" else ["i0", "i1", "i2", "i3", "i4"]
    assert [next(results)[0].image for _ in before] == before
    with pytest.raises(DatasetError, match=f"{broken}: cannot be decoded"):
        next(results)


def test_an_image_of_another_size_than_the_index_has_is_named(images):
    Image.new("RGB", (40, 30)).save(images[3].path)
    with pytest.raises(ValueError, match=r"3.png: 40 x 30 pixels, but 40 x 24 .*start the workf"):
        list(inference.predictions(lambda rows, pixels: pixels, images, torch.device("cpu")))
