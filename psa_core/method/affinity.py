"""Affinities predicted by AffinityNet, and the losses that train it (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from psa_core.method.pairs import inner_cells, neighbour_offsets, pair_slices
from psa_core.networks.affinity import AffinityNetwork
from psa_core.networks.backbone import scaled, to_batch
from psa_core.runtime.artifacts import IGNORE
from psa_core.runtime.compute import batch_mean, check_finite, half_precision


def pair_distances(
    features: torch.Tensor, gamma: float, *, distance: str = "sum"
) -> tuple[torch.Tensor, ...]:
    """L1 distances between the features of neighbouring cells (paper, eq. 3 and 4).

    features: float [B, D, H, W]. distance: "sum" over channels (paper) or "mean" (release).
    Returns, for each offset of `neighbour_offsets(gamma)`, float [B, H - dy, W - |dx|], at the
    first cell of each pair. The affinity of a pair is W = exp(-distance).
    """
    if distance == "mean":
        features = features / features.shape[1]
    return _PairDistances.apply(features.permute(0, 2, 3, 1).contiguous(), gamma)


class _PairDistances(torch.autograd.Function):
    """L1 distances of cells [B, H, W, D], keeping no differences.

    Autograd would keep a difference [B, H, W, D] for each of the 34 offsets; they are recomputed in
    the backward pass. A CPU takes one image at a time, whose differences fit into its cache; a GPU
    takes the whole batch, as each call costs it more than the arithmetic.
    """

    @staticmethod
    def forward(ctx: Any, cells: torch.Tensor, gamma: float) -> tuple[torch.Tensor, ...]:
        ctx.save_for_backward(cells)
        ctx.gamma = gamma
        ends = [pair_slices(offset, *cells.shape[1:3]) for offset in neighbour_offsets(gamma)]
        parts = _at_once(cells)
        return tuple(
            # 4 times faster than linalg.vector_norm(ord=1), whose reduction is not vectorised.
            torch.cat([(c[:, *first] - c[:, *second]).abs_().sum(-1) for c in parts])
            for first, second in ends
        )

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (cells,) = ctx.saved_tensors
        total = torch.zeros_like(cells)
        for offset, gradient in zip(neighbour_offsets(ctx.gamma), gradients, strict=True):
            first, second = pair_slices(offset, *cells.shape[1:3])
            parts = (_at_once(each) for each in (cells, total, gradient[..., None]))
            for c, t, g in zip(*parts, strict=True):
                sign = (c[:, *first] - c[:, *second]).sign_()
                t[:, *first].addcmul_(sign, g)
                t[:, *second].addcmul_(sign, g, value=-1)
        return total, None


def _at_once(batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The parts of a batch [B, ...] that are processed one after the other."""
    return (batch,) if batch.is_cuda else batch.split(1)


def reduce_labels(labels: torch.Tensor, stride: int, *, reduction: str) -> torch.Tensor:
    """Reduce label maps int [B, H, W] to int [B, H / stride, W / stride], one label per cell.

    reduction: "majority", the most frequent label of a cell (255 counts like any other), or
    "centre", the pixel at its centre. H and W are multiples of stride.
    """
    if reduction == "centre":
        return labels[:, stride // 2 :: stride, stride // 2 :: stride]
    batch, height, width = labels.shape
    cells = labels.view(batch, height // stride, stride, width // stride, stride)
    return cells.transpose(2, 3).flatten(3).mode(-1).values


def affinity_losses(
    distances: Sequence[torch.Tensor], labels: torch.Tensor, gamma: float, *, border: bool = True
) -> dict[str, torch.Tensor]:
    """The three cross entropies of AffinityNet (paper, eq. 5 to 10).

    distances: result of `pair_distances`.
    labels: int [B, H, W] at the features' stride; pairs with a neutral cell (255) are dropped.
    border: whether to keep the pairs whose first cell lacks a neighbour because it is near the
    border of the map; the paper keeps them, the release does not.
    Returns scalars "foreground", "background" and "negative", each the mean over its own set of
    pairs (0 for an empty set), and "loss" = foreground + background + 2 * negative.
    """
    height, width = labels.shape[1:]
    sources = torch.full((height, width), border, device=labels.device)
    sources[inner_cells(gamma, height, width)] = True
    ends = [pair_slices(offset, height, width) for offset in neighbour_offsets(gamma)]
    # All pairs in one row per image. A set is a mask over them, not a selection: the CPU would wait
    # for a GPU to count its members.
    pairs = torch.cat([pair.flatten(1) for pair in distances], 1)
    a = torch.cat([labels[:, *first].flatten(1) for first, _ in ends], 1)
    b = torch.cat([labels[:, *second].flatten(1) for _, second in ends], 1)
    valid = (a != IGNORE) & (b != IGNORE)
    valid &= torch.cat([sources[first].flatten() for first, _ in ends])
    same = valid & (a == b)
    sets = {
        "foreground": same & (a > 0),
        "background": same & (a == 0),
        "negative": valid & (a != b),
    }
    # -log W is the distance itself; 1e-5 keeps -log(1 - W) finite where features coincide.
    entropies = {
        "foreground": pairs,
        "background": pairs,
        "negative": -torch.log(-torch.expm1(-pairs) + 1e-5),
    }
    terms = {
        name: batch_mean(torch.where(members, entropies[name], 0).sum(), members.sum())
        for name, members in sets.items()
    }
    terms["loss"] = terms["foreground"] + terms["background"] + 2 * terms["negative"]
    return terms


def losses(
    network: AffinityNetwork,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    gamma: float,
    distance: str,
    reduction: str,
    border: bool = True,
) -> dict[str, torch.Tensor]:
    """Loss terms of a batch; returns the scalars of `affinity_losses`.

    images: float [B, 3, H, W] in [0, 1]. labels: affinity labels int64 [B, H, W]: 0 background,
    c object, 255 neutral. distance: see `pair_distances`. reduction: see `reduce_labels`.
    """
    distances = pair_distances(network(images), gamma, distance=distance)
    labels = reduce_labels(labels, network.stride, reduction=reduction)
    return affinity_losses(distances, labels, gamma, border=border)


@torch.inference_mode()
def edges(
    network: AffinityNetwork,
    images: Sequence[np.ndarray],
    *,
    gamma: float,
    distance: str,
    scale: float = 1.0,
) -> np.ndarray:
    """Affinities of each cell of images to its neighbours (paper, eq. 3 and 4).

    images: uint8 [H, W, 3], all of one size.
    distance: see `pair_distances`.
    scale: factor by which the images are resized first; above 1 gives small images more cells.
    Returns float16 [B, P, h, w] in [0, 1], P the number of neighbour offsets, h and w about
    scale * H / 8 and scale * W / 8; NaN where the neighbour lies outside the map.
    Raises ValueError if the network's outputs are not finite.
    """
    device = next(network.parameters()).device
    batch = scaled(to_batch(images, device), scale, network.backbone.stride)
    with half_precision(device):
        features = network(batch)
    check_finite(features)
    height, width = features.shape[2:]
    offsets = neighbour_offsets(gamma)
    affinity = np.full((len(images), len(offsets), height, width), np.nan, np.float16)
    for p, pair in enumerate(pair_distances(features.float(), gamma, distance=distance)):
        rows, columns = pair_slices(offsets[p], height, width)[0]
        affinity[:, p, rows, columns] = torch.exp(-pair).cpu().numpy()
    return affinity
