"""Hot paths beside the way of the public release, side by side: `make bench`.

Each pair alternates in one process, so that both meet the same machine; the ratio is the median of
seven pairs' ratios. Outputs are compared before anything is timed. Writes results/bench.csv.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from psa_core import cam, labels, networks, parallel, walk
from psa_core.artifacts import write_table
from psa_core.compute import keep_memory
from psa_core.dcrf import DenseCRF
from psa_core.maps import with_background
from psa_core.pairs import neighbour_offsets, pair_slices

PAIRS = 7
WALK = {"gamma": 5, "beta": 8, "log2_t": 8}
DCRF = {
    "iterations": 10,
    "gaussian": {"sxy": 3, "compat": 3},
    "bilateral": {"sxy": 80, "srgb": 13, "compat": 10},
}
NETWORK = {
    "backbone": "tf_efficientnet_lite0",
    "weights": "imagenet",
    "output_stride": 16,
    "frozen_stages": 0,
}


def compare(name: str, ours: Callable, theirs: Callable, tolerance: float) -> dict:
    """Time two functions in turn. Raises AssertionError where their outputs differ by more.

    tolerance: greatest difference of any element, relative to the greatest element.
    """
    first, second = np.asarray(ours(), np.float64), np.asarray(theirs(), np.float64)
    error = np.abs(first - second).max() / np.abs(second).max()
    assert error <= tolerance, f"{name}: outputs differ by {error:.1e}"
    seconds = [(_time(ours), _time(theirs)) for _ in range(PAIRS)]
    return {
        "what": name,
        "ours_ms": 1000 * statistics.median(a for a, _ in seconds),
        "release_ms": 1000 * statistics.median(b for _, b in seconds),
        "ratio": statistics.median(b / a for a, b in seconds),
        "error": error,
    }


def _time(function: Callable) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def random_edges(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Affinities float32 [34, H, W], NaN outside the map."""
    offsets = neighbour_offsets(WALK["gamma"])
    edges = np.full((len(offsets), height, width), np.nan, np.float32)
    for affinity, offset in zip(edges, offsets, strict=True):
        first, _ = pair_slices(offset, height, width)
        affinity[first] = rng.random(affinity[first].shape) ** 0.5
    return edges


def walk_by_squaring(scores: np.ndarray, edges: np.ndarray) -> torch.Tensor:
    """The release's walk: a dense N x N transition matrix, squared log2(t) times."""
    _, height, width = edges.shape
    cells = torch.arange(height * width).view(height, width)
    matrix = torch.eye(height * width)
    for offset, affinity in zip(neighbour_offsets(WALK["gamma"]), edges, strict=True):
        first, second = pair_slices(offset, height, width)
        weight = torch.from_numpy(affinity[first].ravel()) ** WALK["beta"]
        i, j = cells[first].ravel(), cells[second].ravel()
        matrix[i, j] = weight
        matrix[j, i] = weight
    matrix /= matrix.sum(1, keepdim=True)
    for _ in range(WALK["log2_t"]):
        matrix = matrix @ matrix
    spread = matrix @ torch.from_numpy(scores.reshape(len(scores), -1)).T
    return spread.T.reshape(scores.shape)


def bench_walk(rng: np.random.Generator) -> list[dict]:
    """500 x 375 pixels against the dense matrix; larger images, which it cannot hold, alone."""
    rows = []
    for width, height in ((500, 375), (1024, 1024), (2048, 1024), (3840, 2160)):
        size = (-(-height // 8), -(-width // 8))
        edges, scores = random_edges(*size, rng), rng.random((5, *size), dtype=np.float32)

        def ours(scores=scores, edges=edges):
            return walk.propagate(scores, edges, **WALK, tolerance=1e-5)

        name = f"walk, {width} x {height}, 5 maps, t 256"
        if width == 500:

            def theirs(scores=scores, edges=edges):
                return walk_by_squaring(scores, edges)

            rows.append(compare(name, ours, theirs, 1e-4))
        else:
            ours()
            rows.append({"what": name, "ours_ms": 1000 * statistics.median(map(_time, [ours] * 3))})
    return rows


def random_image(rng: np.random.Generator) -> np.ndarray:
    """Squares of one colour with noise, uint8 [375, 500, 3]."""
    image = np.kron(rng.integers(0, 256, (15, 20, 3)), np.ones((25, 25, 1)))
    return np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)


def bench_dcrf_workers(rng: np.random.Generator) -> dict:
    """The dCRF of 16 images by two processes, or by one."""
    images = pd.DataFrame({"image": [str(k) for k in range(16)]})
    pixels = [random_image(rng) for _ in range(16)]
    scores = rng.random((16, 3, 15, 20), dtype=np.float32)

    def refine(row):
        return labels.refine(
            pixels[row.Index], scores[row.Index], [1, 5], confidence=0.8, dcrf=DCRF
        )

    def run(processes):
        results = parallel.in_processes(refine, images, processes=processes)
        return [label_map for _, label_map in results]

    return compare(
        "dCRF of 16 images, 500 x 375: two processes, or one", lambda: run(2), lambda: run(1), 0
    )


def bench_dcrf(rng: np.random.Generator) -> dict:
    """Both affinity dCRFs of an image: one pairwise model, or one for each."""
    image = random_image(rng)
    maps = np.kron(rng.random((2, 15, 20)), np.ones((25, 25))).astype(np.float32)
    scores = [with_background(maps, alpha) for alpha in (4, 24)]

    def ours():
        crf = DenseCRF(image, 3, **DCRF)
        return [crf.refine(each) for each in scores]

    def theirs():
        return [DenseCRF(image, 3, **DCRF).refine(each) for each in scores]

    return compare("two affinity dCRFs, 500 x 375, 3 labels", ours, theirs, 1e-6)


def bench_cam(rng: np.random.Generator) -> dict:
    """Maps at four scales with mirror: batches of two on a folded network, or one by one."""
    scales, classes = (1.0, 0.5, 1.5, 2.0), [1, 5]
    torch.manual_seed(0)
    plain = networks.build("cam", NETWORK, 20).eval()
    folded = networks.fold_batch_norms(plain).to(memory_format=torch.channels_last)
    image = rng.integers(0, 256, (375, 500, 3), dtype=np.uint8)

    def ours():
        return cam.class_activation_maps(
            folded, [image], [classes], scales=scales, flip=True, stride=8
        )[0]

    @torch.no_grad()
    def theirs():
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        total = 0
        for scale in scales:
            size = [max(16, round(side * scale / 16) * 16) for side in image.shape[:2]]
            batch = F.interpolate(pixels, size, mode="bilinear", antialias=True)
            for mirrored in (False, True):
                seen = batch.flip(3) if mirrored else batch
                maps = F.relu(plain.activations(seen.contiguous())[:, [c - 1 for c in classes]])
                maps = maps.flip(3) if mirrored else maps
                total = total + F.interpolate(maps, (47, 63), mode="bilinear")[0]
        return cam.normalise(total.numpy())

    return compare("CAM, 4 scales and mirror, 500 x 375", ours, theirs, 1e-4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="results/bench.csv")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    workers = bench_dcrf_workers(rng)  # first: it forks
    torch.set_num_threads(arguments.threads)
    keep_memory()
    table = pd.DataFrame([*bench_walk(rng), workers, bench_dcrf(rng), bench_cam(rng)])
    write_table(arguments.output, table)
    print(table.to_string(index=False, float_format="%.3g", na_rep="-"))


if __name__ == "__main__":
    main()
