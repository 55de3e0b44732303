"""Random samples: image and label map move together, and each sample is always the same."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tiny_training import FORKSERVER
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2

from psa_core.training.augmentation import (
    GREY,
    EpochSampler,
    RandomLongestSide,
    TrainingImages,
    training_transform,
)

NO_JITTER = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
JITTER = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1}


@pytest.fixture
def painted(tmp_path):
    """An image of four coloured quarters and a mask that gives each colour a class."""
    image = np.zeros((40, 60, 3), np.uint8)
    mask = np.zeros((40, 60), np.uint8)
    quarters = [
        (slice(0, 20), slice(0, 30)),
        (slice(0, 20), slice(30, 60)),
        (slice(20, 40), slice(0, 30)),
        (slice(20, 40), slice(30, 60)),
    ]
    for label, quarter in enumerate(quarters):
        image[quarter], mask[quarter] = [label * 80, 0, 0], label
    Image.fromarray(image).save(tmp_path / "image.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path / "image.png", tmp_path / "mask.png"


def samples_of(painted, count=24, **settings):
    options = {"crop_size": 48, "longest_side": [30, 90], "color_jitter": NO_JITTER} | settings
    images = TrainingImages([painted[0]], [painted[1]], training_transform(**options), seed=3)
    return [images[epoch, 0] for epoch in range(count)]


def test_image_and_mask_move_together(painted):
    """A pixel's class is its red over 80, but within 2 pixels of the quarters' blurred borders."""
    seen = set()
    for image, mask in samples_of(painted, crop_size=24):
        assert image.shape == (3, 24, 24)
        assert image.dtype == torch.float32
        assert mask.shape == (24, 24)
        assert mask.dtype == torch.int64
        classes = mask[None].float()
        greatest, least = (sign * F.max_pool2d(sign * classes, 5, 1, 2) for sign in (1, -1))
        inside = (greatest == least)[0] & (mask != 255)
        assert inside.sum() > 60
        assert (image[0] * 255 - 80 * mask)[inside].abs().max() < 0.6
        seen.add(tuple(mask.unique().tolist()))
    assert len(seen) > 3  # crops show different quarters


def test_padding_is_grey_and_ignored(painted):
    padded = [(image, mask) for image, mask in samples_of(painted, longest_side=[30, 30])]
    for image, mask in padded:
        ignored = mask == 255
        # 30 x 20 pixels remain of the image in a crop of 48 x 48.
        assert ignored.sum() == 48 * 48 - 30 * 20
        assert (image[:, ignored] * 255).round().unique().tolist() == [GREY]
        assert not (image[:, ~ignored] * 255).round().eq(GREY).all(0).any()


def test_without_a_longest_side_images_keep_their_size(painted):
    for _, mask in samples_of(painted, crop_size=64, longest_side=None):
        assert (mask != 255).sum() == 40 * 60
        assert [(mask == label).sum() for label in range(4)] == [20 * 30] * 4


def test_half_of_the_samples_are_mirrored(painted):
    """The upper left quarter is class 0, the upper right one class 1."""
    samples = samples_of(painted, count=60, crop_size=60, longest_side=[60, 60])
    mirrored = [
        bool(
            (mask == 1).nonzero()[:, 1].float().mean() < (mask == 0).nonzero()[:, 1].float().mean()
        )
        for _, mask in samples
    ]
    assert 15 <= sum(mirrored) <= 45  # 30 +- 4 standard deviations


def test_colour_jitter_changes_the_image_alone(painted):
    plain = samples_of(painted, count=4, crop_size=60, longest_side=[60, 60])
    jittered = samples_of(
        painted, count=4, crop_size=60, longest_side=[60, 60], color_jitter=JITTER
    )
    assert not any(torch.equal(a, b) for (a, _), (b, _) in zip(plain, jittered, strict=True))
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(plain, jittered, strict=True))


@pytest.mark.parametrize("size", [(20, 40), (40, 20)])
def test_longest_side_is_uniform_in_its_range(size):
    torch.manual_seed(0)
    transform = RandomLongestSide(10, 13)
    shapes = [
        tuple(transform(tv_tensors.Image(torch.zeros(3, *size))).shape[1:]) for _ in range(80)
    ]
    longest = [max(shape) for shape in shapes]
    assert {side: longest.count(side) > 8 for side in longest} == dict.fromkeys(range(10, 14), True)
    assert {min(shape) for shape in shapes} == {5, 6}  # half of the longest, rounded
    assert all((h < w) == (size[0] < size[1]) for h, w in shapes)


def test_labels_of_an_image_pass_unchanged(write_images):
    label = torch.tensor([0.0, 1, 1])
    transform = training_transform(crop_size=16, longest_side=[16, 32], color_jitter=NO_JITTER)
    image, target = TrainingImages(write_images(1), [label], transform, seed=0)[0, 0]
    assert image.shape == (3, 16, 16)
    assert image.min() >= 0
    assert image.max() <= 1
    assert type(image) is torch.Tensor
    assert torch.equal(target, label)


def test_samples_depend_on_seed_epoch_and_image(write_images):
    path = write_images(1)[0]
    transform = v2.Compose([v2.RandomCrop(8), v2.ColorJitter(brightness=0.5)])
    label = torch.zeros(1)

    def sample(seed, epoch, i):
        return TrainingImages([path] * 3, [label] * 3, transform, seed=seed)[epoch, i][0]

    first = sample(0, 0, 0)
    torch.rand(5)  # whatever was drawn elsewhere
    assert torch.equal(sample(0, 0, 0), first)
    for other in [(1, 0, 0), (0, 1, 0), (0, 0, 1)]:
        assert not torch.equal(sample(*other), first)


def test_samples_leave_the_random_state_alone(write_images):
    images = TrainingImages(write_images(1), [torch.zeros(1)], v2.RandomCrop(8), seed=0)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    images[0, 0]
    assert torch.equal(torch.rand(3), expected)


def test_order_is_a_function_of_seed_and_epoch():
    def order(seed, epoch, length=20):
        sampler = EpochSampler(length, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert {epoch for epoch, _ in order(0, 4)} == {4}
    assert sorted(i for _, i in order(0, 4)) == list(range(20))
    assert order(0, 4) == order(0, 4)
    indices = [[i for _, i in order(*key)] for key in [(0, 0), (0, 1), (1, 0)]]
    assert indices[0] != indices[1] != indices[2] != indices[0]
    assert len(EpochSampler(20, seed=0)) == 20


def test_devices_share_each_batch():
    """Eleven images make two batches of four on one device, and halves of the same on two."""

    def keys(**options):
        sampler = EpochSampler(11, seed=3, batch_size=4, **options)
        sampler.set_epoch(2)
        return list(sampler), len(sampler)

    (whole, length), halves = keys(), [keys(rank=rank, world_size=2) for rank in range(2)]
    assert len(set(whole)) == len(whole) == length == 8
    for half, length in halves:
        assert len(half) == length == 4
    for step in range(2):
        shared = [key for half, _ in halves for key in half[2 * step : 2 * step + 2]]
        assert sorted(shared) == sorted(whole[4 * step : 4 * step + 4])


@pytest.mark.parametrize(("epoch", "left"), [(1, 1), (2, 2)])
def test_a_sampler_goes_on_after_the_steps_that_are_done(epoch, left):
    """Three of four steps done: one of epoch 1 is left and all of epoch 2; the length stays."""

    def keys(start):
        sampler = EpochSampler(8, seed=3, batch_size=4, start=start)
        sampler.set_epoch(epoch)
        assert len(sampler) == 8
        return list(sampler)

    assert keys(start=3) == keys(start=0)[-4 * left :]


@pytest.mark.parametrize("start", ["fork", FORKSERVER])
def test_worker_processes_make_the_same_batches(write_images, start):
    """The fork server is another interpreter, with another seed for Python's hashes."""
    paths = write_images(4, size=(24, 20))
    labels = [torch.tensor([float(i)]) for i in range(4)]
    transform = training_transform(crop_size=16, longest_side=[16, 32], color_jitter=JITTER)
    images = TrainingImages(paths, labels, transform, seed=1)

    def batches(**options):
        sampler = EpochSampler(4, seed=1)
        sampler.set_epoch(2)
        torch.manual_seed(len(options))  # must not matter
        return list(DataLoader(images, batch_size=2, sampler=sampler, **options))

    here = batches()
    there = batches(num_workers=1, multiprocessing_context=start)
    for (image, label), (other, same) in zip(here, there, strict=True):
        assert torch.equal(image, other)
        assert torch.equal(label, same)
