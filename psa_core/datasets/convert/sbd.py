"""VOC 2012 with the masks of SBD: 10,582 training images instead of 1,464.

SBD (Hariharan et al., "Semantic Contours from Inverse Detectors", ICCV 2011) has masks of 11,355
images of VOC 2011, with VOC's classes, as MATLAB files.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path, PurePosixPath

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from psa_core.datasets.convert.download import DownloadError, open_member, open_tar
from psa_core.datasets.formats.source import DatasetError
from psa_core.datasets.formats.voc import CLASSES
from psa_core.runtime.artifacts import write_label_map

log = logging.getLogger(__name__)
INSIDE = PurePosixPath("benchmark_RELEASE/dataset")


def convert(archive: str | Path, devkit: str | Path) -> list[str]:
    """Write masks that VOC itself lacks to SegmentationClassAug/{image}.png of a devkit.

    archive: SBD's benchmark.tgz, read without unpacking it.
    Returns the ids of SBD's train and val images, sorted.
    Raises DownloadError where the archive is broken or incomplete.
    """
    devkit = Path(devkit)
    lists: dict[str, list[str]] = {}
    masks = set()
    with open_tar(archive) as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            if name in (INSIDE / "train.txt", INSIDE / "val.txt"):
                lists[name.stem] = open_member(tar, member).read().decode().split()
            elif name.parent == INSIDE / "cls" and name.suffix == ".mat":
                masks.add(name.stem)
                if len(masks) % 1000 == 0:
                    log.info("%d masks", len(masks))
                if (devkit / f"SegmentationClass/{name.stem}.png").exists():
                    continue
                mask = read_mask(open_member(tar, member).read(), f"{archive}: {name}")
                write_label_map(devkit / f"SegmentationClassAug/{name.stem}.png", mask)
    images = sorted({image for ids in lists.values() for image in ids})
    missing = [f"{key}.txt" for key in ("train", "val") if key not in lists]
    missing += [f"cls/{image}.mat" for image in images if image not in masks]
    if missing:
        raise DownloadError(
            f"{archive}: {len(missing)} files of {INSIDE} are missing, {missing[0]} first: "
            "remove the archive, and the next run downloads it again"
        )
    return images


def read_mask(content: bytes, name: str) -> np.ndarray:
    """Class indices, uint8 [H, W] (VOC's, 0 background), from one of SBD's cls/*.mat.

    content: of the file. name: for the message.
    Raises DownloadError, with the name, where the content is something else.
    """
    try:
        mask = loadmat(io.BytesIO(content), variable_names=["GTcls"])["GTcls"][0, 0]["Segmentation"]
    except (MatReadError, KeyError, ValueError, IndexError, TypeError) as error:
        raise DownloadError(
            f"{name}: not a segmentation of SBD ({error}): use SBD's archive"
        ) from error
    if mask.dtype != np.uint8 or mask.ndim != 2 or mask.max() > len(CLASSES):
        raise DownloadError(
            f"{name}: {mask.dtype} {mask.shape} up to {mask.max()}, expected VOC's class indices "
            f"0..{len(CLASSES)} as uint8 [H, W]: use SBD's archive"
        )
    return mask


def training_images(trainval: list[str], val: list[str], sbd: list[str]) -> list[str]:
    """The list train_aug: images that VOC or SBD has masks of, without VOC's val; sorted."""
    return sorted({*trainval, *sbd} - {*val})


def check_counts(lists: dict[str, list[str]], expected: dict[str, int] | None) -> None:
    """Raise DatasetError where a list has an unexpected length or train is not within train_aug.

    expected: length of each list; None checks no length.
    """
    problems = [
        f"{key}: {len(lists[key])} images, expected {count}"
        for key, count in (expected or {}).items()
        if len(lists[key]) != count
    ]
    if outside := sorted({*lists["train"]} - {*lists["train_aug"]}):
        problems.append(f"train: {len(outside)} images are not in train_aug, {outside[0]} first")
    if problems:
        raise DatasetError(
            f"the lists are not those of VOC 2012 with SBD: {'; '.join(problems)}. Remove those in "
            "ImageSets/Segmentation and start again; for other data set `counts: null`"
        )
