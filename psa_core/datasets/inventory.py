"""What the plan knows about a data set: lists, shards, and digests of the files' contents.

Standard library only: the Snakefile reads the inventory at each start. No image is decoded.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from psa_core.datasets import formats
from psa_core.datasets.contents import Digests
from psa_core.datasets.formats.checks import absent_classes
from psa_core.datasets.formats.reading import reading_of
from psa_core.datasets.formats.source import DatasetError, fail
from psa_core.errors import UserError
from psa_core.runtime.manifests import read_manifest

PARTS = ("train_aug", "val", "test")  # the lists whose images the stages process, in shards


class Inventory:
    """Images, classes and shards of a data set.

    dataset: the config section of that name.
    digests: of the files' contents.

    images: image ids of `train_aug`, `train`, `val` and `test`, sorted.
    scored: those of `train_aug`, `train` and `val` that have a mask.
    negatives: ids of the images that are known to show no class.
    classes: class names in the order of their indices 1..C.
    decisions: of the user, by image id; also of excluded images, which are in no list.
    corrections: image ids of `train_aug` -> path of the corrected mask, sorted by id.
    correction_coding: what the values or colours of these masks mean, as in `Source`.
    rejected: images of `train_aug` whose label is rejected and not corrected, sorted.
    doubts: what may have been meant otherwise, for the summary.
    reading: how the pixels are read.
    mask_values: the value of each class index 0..C in the data set's own masks.

    Raises DatasetError for everything that is wrong with lists, names and labels, all together.
    """

    def __init__(self, dataset: dict, digests: Digests):
        source = formats.read(dataset)
        if problems := source.problems + absent_classes(source, dataset):
            fail(problems)
        self.images = {key: sorted(ids) for key, ids in source.lists.items()}
        self.scored = {
            key: [image for image in self.images[key] if image in source.masks]
            for key in ("train_aug", "train", "val")
        }
        self.negatives = {image for image, names in source.labels.items() if not names}
        self.decisions = source.decisions
        training = self.images["train_aug"]
        self.corrections = {i: source.corrections[i] for i in training if i in source.corrections}
        self.correction_coding = source.correction_coding
        self.rejected = [
            image
            for image in training
            if source.decisions.get(image) == "reject" and image not in self.corrections
        ]
        self.classes = source.names
        self.doubts = source.doubts
        values = {index: v for v, index, _ in reversed(source.coding) if isinstance(v, int)}
        self.mask_values = [values.get(index, index) for index in range(len(source.names) + 1)]
        self._source, self._digests = source, digests
        self.reading = reading_of(dataset)
        digits = len(str(dataset["shards"] - 1))
        self._shard_of: dict[str, dict[str, str]] = {}  # by part and image
        self._shards: dict[str, list[str]] = {}
        for part in PARTS:
            # The name alone decides, so an added image does not move the others.
            numbers = (zlib.crc32(i.encode()) % dataset["shards"] for i in self.images[part])
            names = (f"{part}_{number:0{digits}d}" for number in numbers)
            self._shard_of[part] = dict(zip(self.images[part], names, strict=True))
            for image, shard in self._shard_of[part].items():
                self._shards.setdefault(shard, []).append(image)

    def shards(self, *parts: str) -> list[str]:
        """Names of the shards of parts of the data set, for example "train_aug_00", sorted."""
        return sorted(name for name in self._shards if name.rpartition("_")[0] in parts)

    def images_of(self, shard: str) -> list[str]:
        """Image ids of a shard, sorted. Raises DatasetError where there is no such shard."""
        if shard not in self._shards:
            raise DatasetError(
                f"no shard '{shard}': the data set has {', '.join(sorted(self._shards))}"
            )
        return self._shards[shard]

    def masked_of(self, shard: str) -> list[str]:
        """Ids of the images of a shard that have a mask, sorted."""
        return [image for image in self.images_of(shard) if image in self._source.masks]

    def shard_of(self, image: str, part: str | None = None) -> str:
        """The shard of an image; an image in both val and test belongs to its val shard.

        part: only look in this part. Raises DatasetError where the image is in no list.
        """
        for each in (part,) if part else PARTS:
            if image in self._shard_of[each]:
                return self._shard_of[each][image]
        lists = f"dataset.{part}" if part else "the lists of the data set"
        raise DatasetError(f"no image '{image}' in {lists}: correct its name, or add it there")

    def digest(self, shard: str, kind: str) -> str:
        """A short text that changes if a file of the shard is renamed, edited or read differently.

        kind: "images" (with their labels and the classes) or "masks" (with their values' meaning).
        """
        source, images = self._source, self.images_of(shard)
        if kind == "images":
            files = source.images
            labels = [
                source.labels.get(image) or self._contents.get(source.annotations.get(image, ""))
                for image in images
            ]
            about: object = [source.names, labels, self.reading]
        else:
            files = source.masks
            images = self.masked_of(shard)
            about = source.coding
        paths = [files[image] for image in images]
        return short_digest([about, images, paths, [self._contents[path] for path in paths]])

    def check_files(self) -> None:
        """Read what is new. Raises DatasetError for paths that are no files or cannot be read."""
        self._contents  # noqa: B018, a property that reads them once

    def deleted(self, pattern: str, shards: Sequence[str]) -> list[str]:
        """Missing files of finished shards, except those of images that have left the data set.

        pattern: "results/cam/maps/{}.npy". The manifest of a shard, `{shard}.txt` in the same
        folder, lists the files; a shard without one is not finished.
        """
        folder, suffix = Path(pattern).parent, Path(pattern).suffix
        present = set(os.listdir(folder)) if folder.is_dir() else set()
        files = []
        for shard in shards:
            with suppress(OSError, UserError):  # what reads a damaged one says so
                listed = read_manifest(folder / f"{shard}.txt")
                images = {name.removesuffix(suffix) for name in listed if name not in present}
                files += [pattern.format(i) for i in self.images_of(shard) if i in images]
        return files

    @cached_property
    def _contents(self) -> dict[str, str | None]:
        """Digests of the files of all images that are left after `limit`."""
        listed = {image: None for part in PARTS for image in self.images[part]}
        kinds = (self._source.images, self._source.masks, self._source.annotations)
        return self._digests.of(files[i] for files in kinds for i in listed if i in files)


def short_digest(value: object) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a value made of builtins."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
