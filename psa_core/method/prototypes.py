"""Class maps from prototypes of each class and of its context (after LPCAM; Chen and Sun, 2023).

The classifier's weights respond to what tells the classes apart, such as the heads of animals.
Prototypes respond to all that lies inside the areas of a class but not around them. Unlike LPCAM
this keeps all prototypes. The mean similarity to them is then one linear map of the normalised
features, so it takes the place of the classifier; and the step is repeated on the areas that the
prototypes find.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from psa_core.datasets.index import ImageRow
from psa_core.networks.backbone import scaled, to_batch
from psa_core.networks.cam import CamNetwork
from psa_core.runtime.compute import check_finite, half_precision

CELLS = 256  # of an image at each scale
SAMPLES = 8192  # cells that are clustered for a class, and as many of its context
ITERATIONS = 15  # of k-means


class View(NamedTuple):
    """Some cells of an image at one scale.

    classes: indices in 1..C of classes that the image shows and counts for.
    features: float16 [N, D], each row of length 1. lengths: float32 [N], those of the rows before.
    """

    classes: tuple[int, ...]
    features: torch.Tensor
    lengths: torch.Tensor


def chosen_images(images: Iterable[ImageRow], most: int) -> list[ImageRow]:
    """Images for each class, at most `most`, in the order given.

    Each row is returned with those of its classes for which its image was chosen. The choice
    depends on nothing but ids and classes, so new images change little of it.
    """
    images = list(images)
    counts, chosen = Counter[int](), dict[str, tuple[int, ...]]()
    for row in sorted(images, key=lambda row: sha256(row.image.encode()).digest()):
        chosen[row.image] = tuple(c for c in row.classes if counts[c] < most)
        counts.update(chosen[row.image])
    return [row._replace(classes=chosen[row.image]) for row in images if chosen[row.image]]


def small_scales(scales: Iterable[float]) -> list[float]:
    """The scales up to 1, where features cost least, or the smallest if there are none."""
    scales = sorted(scales)
    return [scale for scale in scales if scale <= 1] or scales[:1]


@torch.inference_mode()
def views(
    network: CamNetwork,
    images: Sequence[np.ndarray],
    classes: Sequence[Sequence[int]],
    *,
    scales: Sequence[float],
) -> list[list[View]]:
    """Up to CELLS evenly spaced cells of each image at each scale, without those of length 0.

    images: uint8 [H, W, 3], all of one size. classes: for each image those of its views.
    scales: factors on the image's size.
    Returns the views of each image, on the CPU.
    Raises ValueError if the network's outputs are not finite.
    """
    device = next(network.parameters()).device
    pixels = to_batch(images, device)
    found: list[list[View]] = [[] for _ in images]
    for scale in scales:
        with half_precision(device):
            features = network.features(scaled(pixels, scale, network.backbone.stride))
        check_finite(features)
        for own, each, present in zip(found, features.float(), classes, strict=True):
            cells = evenly(each.flatten(1).T, CELLS).cpu()
            cells = cells[cells.any(1)]
            own.append(View(tuple(present), F.normalize(cells).half(), cells.norm(dim=1)))
    return found


@torch.inference_mode()
def prototype_weights(
    views: Sequence[View],
    classifier: torch.Tensor,
    *,
    objects: int,
    contexts: int,
    threshold: float,
    rounds: int,
) -> torch.Tensor:
    """Weights of the classes whose products with normalised features are their maps.

    views: of training images. classifier: float [C, D], the weights to start from.
    In each round, a cell of an image with the class belongs to the class if its score exceeds
    `threshold` times the highest of its view, and else to its context. Cells of either are
    clustered, into `objects` and `contexts` prototypes. The new weights are the mean of the former
    less the mean of the latter.
    Returns float32 [C, D]. A class without cells, or without context, keeps its weights.
    """
    weights = classifier.float().clone()
    for number in range(rounds):
        for c, row in enumerate(weights):
            own = [view for view in views if c + 1 in view.classes]
            inside, outside = areas(own, row, threshold, normalised=number > 0)
            if len(inside) and len(outside):
                row[:] = prototypes(inside, objects).mean(0) - prototypes(outside, contexts).mean(0)
    return weights


def areas(
    views: Sequence[View], weights: torch.Tensor, threshold: float, *, normalised: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cells of a class and of its context, each float32 [at most SAMPLES, D], evenly spaced.

    weights: float32 [D], of the class. normalised: whether they are those of prototypes.
    """
    covered = []
    for view in views:
        scores = F.relu(view.features.float() @ weights)
        if not normalised:
            scores *= view.lengths
        covered.append(scores > threshold * scores.max() if len(scores) else scores > 0)
    features = torch.cat([weights.new_zeros(0, len(weights)).half(), *(v.features for v in views)])
    inside = torch.cat([torch.zeros(0, dtype=torch.bool), *covered])
    return tuple(
        features[evenly(part.nonzero()[:, 0], SAMPLES)].float() for part in (inside, ~inside)
    )


def prototypes(features: torch.Tensor, count: int) -> torch.Tensor:
    """Centres of clusters by cosine similarity (spherical k-means).

    features: float32 [N, D] with rows of length 1, N > 0. count: of the clusters, at most N.
    Returns float32 [count, D] with rows of length 1. The first centres are evenly spaced rows.
    """
    centres = evenly(features, count)
    for _ in range(ITERATIONS):
        nearest = (features @ centres.T).argmax(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, features)
        empty = sums.norm(dim=1, keepdim=True) == 0
        centres = torch.where(empty, centres, F.normalize(sums))
    return centres


def evenly(rows: torch.Tensor, most: int) -> torch.Tensor:
    """At most `most` rows, evenly spaced over all."""
    if len(rows) <= most:
        return rows
    return rows[torch.arange(most, device=rows.device) * len(rows) // most]
