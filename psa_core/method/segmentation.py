"""The segmentation model: loss on label maps, prediction at several scales (section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from psa_core.method.dcrf import dense_crf
from psa_core.networks.backbone import scaled, to_batch
from psa_core.runtime.artifacts import IGNORE
from psa_core.runtime.compute import batch_mean, check_finite, half_precision
from psa_core.runtime.parallel import Map

LEAST_PROBABILITY = 0.1


def losses(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Cross entropy of a batch, the mean over its pixels; returns the scalar "loss".

    images: float [B, 3, H, W] in [0, 1]. labels: int64 [B, H, W] class indices, 255 ignored.
    Logits are upsampled to the labels. A batch without any label has loss 0.
    """
    logits = F.interpolate(network(images), labels.shape[1:], mode="bilinear", align_corners=False)
    total = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
    return {"loss": batch_mean(total, (labels != IGNORE).sum())}


def predict(
    network: nn.Module,
    images: Sequence[np.ndarray],
    *,
    scales: Sequence[float],
    flip: bool,
    dcrf: dict | None = None,
    refine_all: Map = map,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Predict label maps: the most probable class of each pixel.

    images, scales, flip, dcrf, refine_all: see `probabilities`.
    size: (height, width) of the label maps; None: those of the images.
    Returns uint8 [B, *size] class indices, 0 background; of equal probabilities the first wins.
    Raises ValueError if the network's outputs are not finite.
    """
    found = probabilities(
        network, images, scales=scales, flip=flip, dcrf=dcrf, refine_all=refine_all
    )
    size = size or images[0].shape[:2]
    # One image at a time: photographs may be far larger than what the network saw of them.
    return np.concatenate([best_class(each[None], size)[0].cpu().numpy() for each in found])


@torch.inference_mode()
def probabilities(
    network: nn.Module,
    images: Sequence[np.ndarray],
    *,
    scales: Sequence[float],
    flip: bool,
    dcrf: dict | None = None,
    refine_all: Map = map,
) -> torch.Tensor:
    """Class probabilities, averaged over scales.

    images: uint8 [H, W, 3], all of one size. scales: factors on the image's size.
    flip: also average over the mirror image.
    dcrf: keyword arguments of `dense_crf`, which refines the averages; skipped if None or if
    iterations is 0.
    refine_all: `map`, or the one of `parallel.forked`, which uses several cores; a dense CRF alone
    uses one.
    Returns float32 [B, C + 1, H, W] on the network's device, background first; the sum over the
    classes is 1.
    Raises ValueError if the network's outputs are not finite.
    """
    device = next(network.parameters()).device
    pixels = to_batch(images, device)
    total = torch.zeros((), device=device)
    for scale in scales:
        batch = scaled(pixels, scale, network.backbone.stride)
        if flip:
            batch = torch.cat([batch, batch.flip(3)])
        with half_precision(device):
            logits = network(batch)
        check_finite(logits)
        cells = logits.float().softmax(1)
        if flip:
            plain, mirrored = cells.chunk(2)
            cells = (plain + mirrored.flip(3)) / 2
        total = total + F.interpolate(cells, pixels.shape[2:], mode="bilinear", align_corners=False)
    found = total / len(scales)
    if not dcrf or not dcrf["iterations"]:
        return found
    refined = refine_all(partial(refine, **dcrf), images, found.cpu().numpy())
    return torch.from_numpy(np.stack(list(refined))).to(device)


def best_class(
    probabilities: torch.Tensor, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The most probable class of each pixel, and its probability.

    probabilities: float [B, C + 1, H, W]. size: (height, width), to which they are resized.
    Returns uint8 [B, *size] class indices, the first of equal ones, and float [B, *size].
    One class at a time is resized: all classes of a large photograph do not fit into memory.
    """

    def resized(index: int) -> torch.Tensor:
        cells = probabilities[:, index : index + 1]
        if cells.shape[2:] == size:
            return cells[:, 0]
        return F.interpolate(cells, size, mode="bilinear", align_corners=False)[:, 0]

    best = resized(0).clone()
    labels = torch.zeros(best.shape, dtype=torch.uint8, device=best.device)
    for index in range(1, probabilities.shape[1]):
        found = resized(index)
        labels[found > best] = index
        torch.maximum(best, found, out=best)
    return labels, best


def refine(image: np.ndarray, probabilities: np.ndarray, **dcrf: Any) -> np.ndarray:
    """Class probabilities after a dense CRF of the classes that may win a pixel.

    image: uint8 [H, W, 3]. probabilities: float32 [C + 1, H, W]. dcrf: see `dense_crf`.
    Returns float32 [C + 1, H, W]; a class that is nowhere the best nor above LEAST_PROBABILITY has
    0, since the time of the CRF grows with the number of classes.
    """
    likely = np.flatnonzero(probabilities.max((1, 2)) > LEAST_PROBABILITY)
    seen = np.union1d(likely, probabilities.argmax(0))
    refined = np.zeros_like(probabilities)
    refined[seen] = dense_crf(image, probabilities[None, seen], **dcrf)[0]
    return refined
