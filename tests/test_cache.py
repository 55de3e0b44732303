"""The cache of decoded images: the pixels of the files, or of one reduction of them."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from psa_core.datasets.cache import longest_side_of, read_cached, reduced, write_cache
from psa_core.datasets.decode import read_image
from psa_core.datasets.formats.source import DatasetError
from psa_core.training.augmentation import EpochSampler, TrainingImages, training_transform

TRANSFORM = {
    "crop_size": 16,
    "longest_side": [16, 24],
    "color_jitter": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1},
}


@pytest.fixture
def paths(write_images):
    """Ten noise images of 20 x 24 pixels, more than are read at a time."""
    return [str(path) for path in write_images(10, (20, 24))]


@pytest.fixture
def write(tmp_path, paths):
    def write(longest_side, paths=paths):
        cache = tmp_path / "cache.h5"
        write_cache(cache, paths, longest_side=longest_side, threads=2)
        return cache

    return write


@pytest.mark.parametrize("longest_side", [None, 24, 30, 500])
def test_images_that_are_small_enough_are_kept_as_decoded(write, paths, longest_side):
    cache = write(longest_side)
    for path in paths:
        np.testing.assert_array_equal(read_cached(cache, path), read_image(path))
    assert longest_side_of(cache) == str(longest_side)
    with h5py.File(cache) as file:
        assert file[paths[0]].dtype == np.uint8
        assert file[paths[0]].chunks == (20, 24, 3)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((80, 96), (40, 48)), ((96, 80), (48, 40)), ((192, 40), (154, 32))],  # no side below 32
)
def test_larger_images_are_reduced_as_training_reduces_them(rng, size, expected):
    """torchvision's antialiased resizing of integers, which rounds in other places."""
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    resized = v2.functional.resize(pixels, list(expected), antialias=True)
    found = reduced(image, 48)
    assert found.shape == (*expected, 3)
    difference = found.astype(int) - resized.permute(1, 2, 0).numpy().astype(int)
    assert np.abs(difference).max() <= 1


def test_training_samples_are_those_of_the_files(write, paths):
    cache = write(24)
    labels = [torch.tensor([float(k)]) for k in range(10)]
    transform = training_transform(**TRANSFORM)
    plain = TrainingImages(paths, labels, transform, seed=1)
    expected = [plain[3, k] for k in range(10)]
    for path in paths:
        Path(path).unlink()  # the files are not read any more
    cached = TrainingImages(paths, labels, transform, seed=1, cache=cache)
    for k in range(10):
        assert all(map(torch.equal, cached[3, k], expected[k]))


def test_label_maps_follow_a_reduced_image(tmp_path, write):
    """Of 240 x 320 pixels the left 128 columns are red 80 and class 1, the others 160 and 2."""
    image, labels = np.zeros((240, 320, 3), np.uint8), np.full((240, 320), 2, np.uint8)
    image[:, :128, 0], image[:, 128:, 0], labels[:, :128] = 80, 160, 1
    paths = str(tmp_path / "image.png"), str(tmp_path / "labels.png")
    Image.fromarray(image).save(paths[0])
    Image.fromarray(labels).save(paths[1])
    cache = write(80, [paths[0]])
    none = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
    transform = training_transform(crop_size=96, longest_side=None, color_jitter=none)
    images = TrainingImages([paths[0]], [paths[1]], transform, seed=0, cache=cache)
    for epoch in range(4):
        pixels, mask = images[epoch, 0]
        # 60 x 80 cells of 4 x 4 pixels, of which 32 columns are left; the rest is padding.
        shares = [60 * 32, 60 * 48, 96 * 96 - 60 * 80]
        assert [(mask == label).sum() for label in (1, 2, 255)] == shares
        far = (pixels[0] * 255 - 80 * mask).abs() > 12  # the cells at the border are blurred
        assert not (far & (mask != 255)).any()


@pytest.mark.parametrize(("start", "workers"), [("fork", 2), ("spawn", 1)])
def test_worker_processes_read_the_same(write, paths, start, workers):
    cache = write(12)
    labels = [torch.tensor([float(k)]) for k in range(10)]
    images = TrainingImages(paths, labels, training_transform(**TRANSFORM), seed=1, cache=cache)

    def batches(**options):
        return list(DataLoader(images, batch_size=5, sampler=EpochSampler(10, seed=1), **options))

    here = batches()
    there = batches(num_workers=workers, multiprocessing_context=start)
    for (image, label), (other, same) in zip(here, there, strict=True):
        assert torch.equal(image, other)
        assert torch.equal(label, same)


def test_an_image_that_the_cache_lacks_is_named(write, tmp_path):
    cache = write(12)
    with pytest.raises(ValueError, match=r"cache.h5: no readable image a/b.jpg .*delete it"):
        read_cached(cache, "a/b.jpg")
    cache.write_bytes(cache.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"cache.h5: no readable image a/b.jpg .*delete it"):
        read_cached(cache, "a/b.jpg")


def test_a_corrupt_image_is_named_and_leaves_no_cache(write, paths, tmp_path):
    with open(paths[7], "r+b") as file:
        file.truncate(60)
    with pytest.raises(DatasetError, match=f"{paths[7]}: cannot be decoded"):
        write(12)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_progress_counts_the_images(tmp_path, paths):
    seen = []
    write_cache(
        tmp_path / "cache.h5",
        paths,
        longest_side=12,
        threads=2,
        progress=lambda *counts: seen.append(counts),
    )
    assert seen == [(k, 10) for k in range(1, 11)]
