"""Training samples: randomly transformed images and targets that depend on the seed alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, Sampler
from torchvision import tv_tensors
from torchvision.transforms import v2

from psa_core.datasets.cache import read_cached
from psa_core.datasets.decode import read_image
from psa_core.datasets.formats.reading import AS_STORED, Reading
from psa_core.runtime.artifacts import IGNORE, read_label_map

GREY = 124  # near the mean of ImageNet, so that padding is close to 0 once normalised


class RandomLongestSide(v2.Transform):
    """Resize so that the longest side is uniform in {low, ..., high} pixels (as the release)."""

    def __init__(self, low: int, high: int):
        super().__init__()
        self.low, self.high = low, high

    def make_params(self, flat_inputs: list) -> dict:
        height, width = v2.query_size(flat_inputs)
        longest = int(torch.randint(self.low, self.high + 1, ()))
        scale = longest / max(height, width)
        return {"size": [max(1, round(height * scale)), max(1, round(width * scale))]}

    def transform(self, inpt: torch.Tensor, params: dict) -> torch.Tensor:
        return self._call_kernel(v2.functional.resize, inpt, params["size"], antialias=True)


def training_transform(
    *, crop_size: int, longest_side: Sequence[int] | None, color_jitter: dict[str, float]
) -> v2.Compose:
    """Random scaling, crop and mirroring of an image and its label map; colour jitter of the image.

    crop_size: side of the square crop, in pixels; a smaller image is padded with grey, its label
    map with 255.
    longest_side: range [low, high] of the longest side before the crop, in pixels; None keeps the
    size.
    color_jitter: keyword arguments of `v2.ColorJitter`: brightness, contrast, saturation, hue.
    The transform maps a uint8 image [3, H, W] to float [3, S, S] in [0, 1] and a mask [H, W] to
    [S, S], with S the crop size.
    """
    fill = {tv_tensors.Image: GREY, tv_tensors.Mask: IGNORE}
    return v2.Compose(
        [
            *([RandomLongestSide(*longest_side)] if longest_side else []),
            v2.RandomCrop(crop_size, pad_if_needed=True, fill=fill),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(**color_jitter),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
        ]
    )


class TrainingImages(Dataset):
    """Images and targets, transformed at random; sample (epoch, i) is a function of the seed.

    paths: image files. targets: for each a float tensor [C] of image-level labels, or the path of a
    label map PNG.
    transform: of an image alone, or of an image and its label map; see `training_transform`.
    cache: file written by `cache.write_cache` and read in place of `paths`. It may hold smaller
    images; label maps are then resized to match.
    reading: of the image files.
    Raises DatasetError or ValueError, naming the file, if one cannot be read.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        targets: Sequence[torch.Tensor | str | Path],
        transform: Callable,
        *,
        seed: int,
        cache: str | Path | None = None,
        reading: Reading = AS_STORED,
    ):
        self.paths, self.targets, self.reading = list(paths), list(targets), reading
        self.transform, self.seed, self.cache = transform, seed, cache

    def __len__(self) -> int:
        return len(self.paths)

    def _read(self, path: str | Path) -> np.ndarray:
        return read_cached(self.cache, path) if self.cache else read_image(path, self.reading)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Sample (epoch, i): image float [3, S, S] in [0, 1], labels [C] or map int64 [S, S]."""
        epoch, i = key
        pixels = self._read(self.paths[i])
        image = tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1))
        target = self.targets[i]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(hash((self.seed, epoch, i)) % 2**63)
            if isinstance(target, torch.Tensor):
                return self.transform(image).as_subclass(torch.Tensor), target
            labels = read_label_map(target, None if self.cache else pixels.shape[:2])
            if self.cache:
                size = pixels.shape[1::-1]
                labels = np.array(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
            mask = tv_tensors.Mask(torch.from_numpy(labels))
            image, mask = self.transform(image, mask)
        return image.as_subclass(torch.Tensor), mask.as_subclass(torch.Tensor).long()


class EpochSampler(Sampler):
    """Yields the shuffled keys (pass, i) of `TrainingImages` for one process.

    The order is a function of seed and epoch alone, so a resumed training sees the same batches as
    an unbroken one, whatever the workers had already loaded.

    length: number of images. passes: number of passes over them per epoch.
    batch_size: images per step over all devices; those left over at the end of a pass are skipped.
    rank, world_size: this process takes part `rank` of `world_size` equal parts of each batch.
    start: number of steps already done. Their keys are skipped but still count in the length, as
    Lightning requires of a training that resumes within an epoch.
    """

    def __init__(
        self,
        length: int,
        *,
        seed: int,
        passes: int = 1,
        batch_size: int = 1,
        rank: int = 0,
        world_size: int = 1,
        start: int = 0,
    ):
        self.length, self.seed, self.passes = length, seed, passes
        self.batch_size, self.start = batch_size, start
        self.steps = length // batch_size * passes
        # Workers take the first keys before Lightning calls set_epoch.
        self.epoch = start // self.steps if self.steps else 0
        part = batch_size // world_size
        self.part = slice(rank * part, (rank + 1) * part)

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps * (self.part.stop - self.part.start)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        done = max(0, self.start - self.epoch * self.steps) * self.batch_size
        kept = self.length // self.batch_size * self.batch_size
        first = self.epoch * self.passes
        keys = [
            (number, int(i))
            for number in range(first, first + self.passes)
            for i in np.random.default_rng([self.seed, number]).permutation(self.length)[:kept]
        ]
        batches = (keys[k : k + self.batch_size] for k in range(done, len(keys), self.batch_size))
        return (key for batch in batches for key in batch[self.part])
