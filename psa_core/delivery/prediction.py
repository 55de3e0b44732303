"""The prediction for one image: labels, confidence, and a record of what is in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from psa_core.datasets.index import ImageRow
from psa_core.delivery.images import file_name
from psa_core.delivery.tiles import in_tiles, number_of_tiles
from psa_core.method import segmentation
from psa_core.runtime import inference, logs
from psa_core.runtime.parallel import Map

Probabilities = Callable[[Sequence[np.ndarray]], torch.Tensor]


class Settings(NamedTuple):
    """What predictions depend on, apart from the network.

    scales: factors on the image's size. flip: also average over the mirror image.
    dcrf: parameters of `dense_crf` on the averaged probabilities, or None.
    longest_side: images are resized to it, in pixels; None: no resizing.
    tile: side of the tiles of larger images in pixels, or None.
    """

    scales: list[float]
    flip: bool
    dcrf: dict | None
    longest_side: int | None
    tile: int | None


class Prediction(NamedTuple):
    """labels: uint8 [H, W] class indices. confidence: uint8 [H, W], probability of that class, 255
    for 1. probabilities: float16 [C + 1, H, W], or None."""

    labels: np.ndarray
    confidence: np.ndarray
    probabilities: np.ndarray | None


def predictor(
    network: torch.nn.Module,
    settings: Settings,
    device: torch.device,
    *,
    keep: bool,
    refine_all: Map = map,
) -> Callable[[Sequence[ImageRow], Sequence[np.ndarray]], list[Prediction]]:
    """The function that `inference.predictions` needs.

    keep: whether to keep the probabilities of all classes.
    refine_all: see `segmentation.probabilities`.
    """

    def probabilities(images: Sequence[np.ndarray]) -> torch.Tensor:
        return segmentation.probabilities(
            network,
            images,
            scales=settings.scales,
            flip=settings.flip,
            dcrf=settings.dcrf,
            refine_all=refine_all,
        )

    def predict(rows: Sequence[ImageRow], images: Sequence[np.ndarray]) -> list[Prediction]:
        if settings.tile and max(images[0].shape[:2]) > settings.tile:
            return [
                _in_tiles(probabilities, image, settings.tile, device, keep) for image in images
            ]
        size = rows[0].height, rows[0].width
        return [_reduced(each, size, keep) for each in probabilities(images)]

    return predict


def _reduced(probabilities: torch.Tensor, size: tuple[int, int], keep: bool) -> Prediction:
    """The prediction of probabilities float32 [C + 1, h, w], at a size (height, width)."""
    labels, best = segmentation.best_class(probabilities[None], size)
    kept = F.interpolate(probabilities[None], size, mode="bilinear")[0].half() if keep else None
    return Prediction(
        labels[0].cpu().numpy(),
        (255 * best[0]).round().byte().cpu().numpy(),
        None if kept is None else kept.cpu().numpy(),
    )


def _in_tiles(
    probabilities: Probabilities, image: np.ndarray, tile: int, device: torch.device, keep: bool
) -> Prediction:
    size = image.shape[:2]
    labels, confidence, kept = np.empty(size, np.uint8), np.empty(size, np.uint8), None
    batch = max(1, inference.BATCH_PIXELS // tile**2) if device.type == "cuda" else 1

    def predict(crops: Sequence[np.ndarray]) -> list[Prediction]:
        return [_reduced(each, each.shape[1:], keep) for each in probabilities(crops)]

    with inference.side_by_side(device) as workers:
        found = in_tiles(predict, image, tile=tile, batch=batch, each=workers.map)
        tiles = logs.progress(found, total=number_of_tiles(size, tile), label="tiles")
        for place, inside, part in tiles:
            labels[place], confidence[place] = part.labels[inside], part.confidence[inside]
            if part.probabilities is not None:
                if kept is None:
                    kept = np.empty((len(part.probabilities), *size), np.float16)
                kept[:, *place] = part.probabilities[:, *inside]
    return Prediction(labels, confidence, kept)


def record(row: ImageRow, prediction: Prediction, classes: Sequence[str]) -> dict:
    """Summary of a prediction as builtins.

    For each class present: pixels, mean confidence, and `parts`, its connected areas, largest
    first, each with pixels, mean confidence and box [left, top, width, height].
    """
    found = []
    for index in np.unique(prediction.labels[prediction.labels > 0]).tolist():
        areas, count = ndimage.label(prediction.labels == index, np.ones((3, 3)))
        parts: list[dict] = []
        for number, place in enumerate(ndimage.find_objects(areas, count), start=1):
            confidence = prediction.confidence[place][areas[place] == number]
            y, x = place
            box = [x.start, y.start, x.stop - x.start, y.stop - y.start]
            parts.append({"box": box, **_summary(confidence)})
        parts.sort(key=lambda part: (-part["pixels"], part["box"]))
        whole = _summary(prediction.confidence[prediction.labels == index])
        found.append({"index": index, "name": classes[index - 1], **whole, "parts": parts})
    return {
        "image": file_name(row),
        "mask": f"masks/{row.image}.png",
        "width": row.width,
        "height": row.height,
        "classes": found,
    }


def what_was_found(images_of: Mapping[int, int], classes: Sequence[str]) -> str:
    """A line for the terminal: "cat in 3 images, dog in 1, nothing in 2".

    images_of: number of images by class index; 0 stands for images without any class.
    """
    names = ["nothing", *classes]
    counts = [(names[i], images_of[i]) for i in (*range(1, len(names)), 0) if images_of[i]]
    first, *others = (f"{name} in {count}" for name, count in counts)
    plural = "image" if counts[0][1] == 1 else "images"
    return ", ".join([f"{first} {plural}", *others])


def _summary(confidence: np.ndarray) -> dict:
    return {
        "pixels": int(confidence.size),
        "confidence": round(float(confidence.mean(dtype=np.float64)) / 255, 4),
    }
