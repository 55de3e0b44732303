"""The segmentation model: loss on label maps, prediction at several scales (section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from psa_core.networks.backbone import scaled, to_batch
from psa_core.runtime.artifacts import IGNORE
from psa_core.runtime.compute import batch_mean, check_finite, half_precision


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
    network: nn.Module, images: Sequence[np.ndarray], *, scales: Sequence[float], flip: bool
) -> np.ndarray:
    """Predict label maps, the best class of each pixel by `probabilities`.

    Returns uint8 [B, H, W] class indices, 0 background; of equal probabilities the first wins.
    """
    return probabilities(network, images, scales=scales, flip=flip).argmax(1).byte().cpu().numpy()


@torch.inference_mode()
def probabilities(
    network: nn.Module, images: Sequence[np.ndarray], *, scales: Sequence[float], flip: bool
) -> torch.Tensor:
    """Class probabilities, averaged over scales.

    images: uint8 [H, W, 3], all of one size. scales: factors on the image's size.
    flip: also average over the mirror image.
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
    return total / len(scales)
