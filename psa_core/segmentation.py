"""The segmentation model: trained on pseudo labels, predicting at several scales (section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from psa_core.artifacts import IGNORE
from psa_core.compute import batch_mean
from psa_core.networks.backbone import scaled


def losses(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Cross entropy of images [B, 3, H, W] against label maps [B, H, W], 255 ignored."""
    logits = F.interpolate(network(images), labels.shape[1:], mode="bilinear", align_corners=False)
    total = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
    return {"loss": batch_mean(total, (labels != IGNORE).sum())}


@torch.inference_mode()
def predict(
    network: nn.Module, image: np.ndarray, *, scales: Sequence[float], flip: bool
) -> np.ndarray:
    """Class indices uint8 [H, W] of one image uint8 [H, W, 3].

    The class probabilities of the image, and of its mirror, at all scales are averaged per pixel.
    """
    device = next(network.parameters()).device
    pixels = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float() / 255
    size = image.shape[:2]
    total = 0
    for scale in scales:
        batch = scaled(pixels, scale, network.backbone.stride)
        if flip:
            batch = torch.cat([batch, batch.flip(3)])
        probabilities = network(batch).softmax(1)
        if flip:
            probabilities = torch.stack([probabilities[0], probabilities[1].flip(2)])
        mean = probabilities.mean(0, keepdim=True)
        total = total + F.interpolate(mean, size, mode="bilinear", align_corners=False)
    return total[0].argmax(0).byte().cpu().numpy()
