"""Class activation maps (paper, section 3.1; Zhou et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from psa_core.compute import check_finite, half_precision
from psa_core.networks.backbone import scaled, to_batch
from psa_core.networks.cam import CamNetwork


def label_vector(classes: Sequence[int], count: int) -> torch.Tensor:
    """Image-level labels (class indices 1 .. C) as float [C] of zeros and ones."""
    vector = torch.zeros(count)
    vector[[c - 1 for c in classes]] = 1
    return vector


def losses(
    network: CamNetwork, images: torch.Tensor, labels: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Multi-label soft margin loss of images [B, 3, H, W] against labels [B, C] in {0, 1}."""
    return {"loss": F.multilabel_soft_margin_loss(network(images), labels)}


@torch.inference_mode()
def class_activation_maps(
    network: CamNetwork,
    images: Sequence[np.ndarray],
    classes: Sequence[Sequence[int]],
    *,
    scales: Sequence[float],
    flip: bool,
    stride: int,
    square_root: bool = False,
) -> list[np.ndarray]:
    """Normalised class activation maps of images (paper, eq. 1), summed over scales and mirror.

    images: uint8 [H, W, 3], all of one size. classes: the labels of each, 1 .. C, which its maps
    follow in order.
    scales: factors on the image's size. stride: image pixels a cell of the maps.
    square_root: root of the rectified map, as the release's VGG16 takes it.
    Returns for each image float32 [K, ceil(H / stride), ceil(W / stride)] in [0, 1], the maximum
    of each map 1, and less where the network sees next to nothing of the class.
    Raises ValueError where the network's outputs are not finite.
    """
    device = next(network.parameters()).device
    pixels = to_batch(images, device)
    height, width = pixels.shape[2:]
    size = (-(-height // stride), -(-width // stride))
    chosen = [torch.tensor([c - 1 for c in each], device=device) for each in classes]
    totals = [torch.zeros(len(each), *size, device=device) for each in classes]
    for scale in scales:
        batch = scaled(pixels, scale, network.backbone.stride)
        if flip:
            batch = torch.cat([batch, batch.flip(3)])
        with half_precision(device):
            activations = network.activations(batch)
        check_finite(activations)
        for i, total in enumerate(totals):
            maps = F.relu(activations[i :: len(images), chosen[i]].float())
            if square_root:
                maps = maps.sqrt()
            if flip:
                maps = torch.stack([maps[0], maps[1].flip(2)])
            total += F.interpolate(maps, size, mode="bilinear", align_corners=False).sum(0)
    return [normalise(total.cpu().numpy()) for total in totals]


def normalise(maps: np.ndarray) -> np.ndarray:
    """Divide rectified maps [K, h, w] by their maxima over the image (paper, eq. 1)."""
    return maps / (maps.max((1, 2), keepdims=True) + 1e-5)
