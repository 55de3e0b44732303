"""Class activation maps (paper, section 3.1; Zhou et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from psa_core.networks.backbone import scaled, to_batch
from psa_core.networks.cam import CamNetwork
from psa_core.runtime.compute import check_finite, half_precision


def label_vectors(labels: Sequence[Sequence[int]], count: int) -> list[torch.Tensor]:
    """Image-level labels as vectors: for each image float32 [C] of zeros and ones.

    labels: for each image its class indices in 1..C. count: C.
    """
    vectors = torch.zeros(len(labels), count)
    for vector, classes in zip(vectors, labels, strict=True):
        vector[[c - 1 for c in classes]] = 1
    return list(vectors)


def losses(
    network: CamNetwork, images: torch.Tensor, labels: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Multi-label soft margin loss of a batch; returns the scalar "loss".

    images: float [B, 3, H, W] in [0, 1]. labels: float [B, C] of zeros and ones.
    """
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
    """Class activation maps of images (paper, eq. 1), summed over scales and normalised.

    images: uint8 [H, W, 3], all of one size.
    classes: for each image the K class indices in 1..C, in the order of its maps.
    scales: factors on the image's size. flip: also sum over the mirror image.
    stride: side of a map's cell in image pixels.
    square_root: take the square root of each rectified map, as the release does for VGG16.
    Returns for each image float32 [K, ceil(H / stride), ceil(W / stride)] in [0, 1]. The maximum of
    each map is about 1, unless the network sees next to nothing of the class.
    Raises ValueError if the network's outputs are not finite.
    """
    device = next(network.parameters()).device
    pixels = to_batch(images, device)
    height, width = pixels.shape[2:]
    size = (-(-height // stride), -(-width // stride))
    chosen = [
        torch.tensor([c - 1 for c in each], dtype=torch.long, device=device) for each in classes
    ]
    totals = [torch.zeros(len(each), *size, device=device) for each in classes]
    for scale in scales:
        batch = scaled(pixels, scale, network.backbone.stride)
        if flip:
            batch = torch.cat([batch, batch.flip(3)])
        with half_precision(device):
            activations = network.activations(batch)
        check_finite(activations)
        for i, total in enumerate(totals):
            if not len(total):  # an image without classes
                continue
            maps = F.relu(activations[i :: len(images), chosen[i]].float())
            if square_root:
                maps = maps.sqrt()
            if flip:
                maps = torch.stack([maps[0], maps[1].flip(2)])
            total += F.interpolate(maps, size, mode="bilinear", align_corners=False).sum(0)
    return [normalise(total.cpu().numpy()) for total in totals]


def normalise(maps: np.ndarray) -> np.ndarray:
    """Divide each rectified map of [K, h, w] by its maximum + 1e-5 (paper, eq. 1)."""
    return maps / (maps.max((1, 2), keepdims=True) + 1e-5)
