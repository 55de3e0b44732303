"""Time the most expensive functions against the methods of the public release: `make bench`.

Both methods of a pair run in turn in one process, so that they meet the same conditions; the ratio
is the median of seven. The release's dense walk on large images is timed once and in part, and its
memory is taken to be that of two matrices. Outputs are compared before anything is timed. Memory is
the peak of a fresh process beyond the imported libraries; it makes the inputs and computes once.
Writes results/bench.csv.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
import pydensecrf.densecrf as densecrf
import torch
import torch.nn.functional as F
from against import compare_with
from inputs import noisy_squares
from PIL import Image
from scipy import sparse

from psa_core.datasets.decode import read_image
from psa_core.datasets.index import ImageRow, read_images
from psa_core.method import cam, walk
from psa_core.method.dcrf import dense_crf
from psa_core.method.maps import with_background
from psa_core.method.pairs import neighbour_offsets, pair_slices
from psa_core.method.pseudo_labels import pseudo_labels
from psa_core.networks.builder import build
from psa_core.networks.folding import fold_batch_norms
from psa_core.runtime import inference, parallel
from psa_core.runtime.artifacts import replacing
from psa_core.runtime.compute import open_device

FORMAT = "{:.3g}".format
PAIRS = 7
CPU = torch.device("cpu")
SIZES = ((500, 375), (1024, 1024), (2048, 1024))  # width, height
WALK = {"gamma": 5, "beta": 8, "t": 256}
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

Ways = dict[str, Callable[[], np.ndarray]]  # "ours" and "release"


def walk_inputs(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Five maps of scores and the affinities [34, h, w] of an image at stride 8."""
    rng = np.random.default_rng(0)
    height, width = -(-height // 8), -(-width // 8)
    offsets = neighbour_offsets(WALK["gamma"])
    edges = np.full((len(offsets), height, width), np.nan, np.float32)
    for affinity, offset in zip(edges, offsets, strict=True):
        first, _ = pair_slices(offset, height, width)
        affinity[first] = rng.random(affinity[first].shape) ** 0.5
    return rng.random((5, height, width), dtype=np.float32), edges


def pairs_of_cells(edges: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(first cells, second cells, W^(o beta)) of the pairs of each offset; cells by flat index."""
    _, height, width = edges.shape
    cells = np.arange(height * width).reshape(height, width)
    for offset, affinity in zip(neighbour_offsets(WALK["gamma"]), edges, strict=True):
        first, second = pair_slices(offset, height, width)
        yield cells[first].ravel(), cells[second].ravel(), affinity[first].ravel() ** WALK["beta"]


def dense_transition(edges: np.ndarray) -> torch.Tensor:
    """The release's transition matrix: dense, N x N."""
    matrix = torch.eye(edges[0].size)
    for i, j, weight in pairs_of_cells(edges):
        matrix[i, j] = torch.from_numpy(weight)
        matrix[j, i] = torch.from_numpy(weight)
    return matrix / matrix.sum(1, keepdim=True)


def walk_by_squaring(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The release's walk: the dense transition matrix, squared log2(t) times."""
    matrix = dense_transition(edges)
    for _ in range(WALK["t"].bit_length() - 1):
        matrix = matrix @ matrix
    spread = matrix @ torch.from_numpy(scores.reshape(len(scores), -1)).T
    return spread.T.reshape(scores.shape).numpy()


def walk_by_steps(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """All 256 steps one by one in float64, for images whose dense matrix is too large."""
    i, j, weight = map(np.concatenate, zip(*pairs_of_cells(edges), strict=True))
    count = edges[0].size
    one_way = sparse.coo_array((weight.astype(float), (i, j)), shape=(count, count))
    matrix = (one_way + one_way.T + sparse.eye_array(count)).tocsr()
    matrix = sparse.diags_array(1 / matrix.sum(1)) @ matrix
    vectors = scores.reshape(len(scores), -1).T
    for _ in range(WALK["t"]):
        vectors = matrix @ vectors
    return vectors.T.reshape(scores.shape)


def walks(width: int, height: int) -> Ways:
    """The random walk of five maps, t 256."""
    scores, edges = walk_inputs(width, height)
    return {
        "ours": lambda: walk.propagate(scores, edges, **WALK, tolerance=1e-5),
        "release": lambda: walk_by_squaring(scores, edges),
    }


def crfs(width: int, height: int) -> Ways:
    """Both affinity dCRFs of an image, three labels: in one model, or built for each."""
    image, maps = noisy_squares(width, height)
    scores = np.stack([with_background(maps, alpha) for alpha in (4, 24)])

    def release() -> np.ndarray:
        refined = []
        for each in scores:
            model = densecrf.DenseCRF2D(width, height, len(each))
            model.addPairwiseGaussian(**DCRF["gaussian"])
            model.addPairwiseBilateral(rgbim=np.ascontiguousarray(image), **DCRF["bilateral"])
            unary = -np.log(each.clip(1e-5)).reshape(len(each), -1)
            model.setUnaryEnergy(np.ascontiguousarray(unary, np.float32))
            refined.append(np.reshape(model.inference(DCRF["iterations"]), each.shape))
        return np.stack(refined)

    return {"ours": lambda: dense_crf(image, scores, **DCRF), "release": release}


def cams(width: int, height: int) -> Ways:
    """Maps at four scales, also mirrored: batches of two on a folded network, or one by one."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ours, release = cam_ways()
    return {"ours": lambda: ours([image])[0], "release": lambda: release(image)}


def cams_of_eight_files(width: int, height: int) -> Ways:
    """The same for eight files: two images at once, or one after the other."""
    rng = np.random.default_rng(0)
    folder = tempfile.TemporaryDirectory()
    paths = [f"{folder.name}/{number}.png" for number in range(8)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    rows = [ImageRow(Path(path).stem, path, "", (), (), height, width) for path in paths]
    of_images, release_of_image = cam_ways()

    def ours(folder: tempfile.TemporaryDirectory = folder) -> np.ndarray:  # keeps it
        done = inference.predictions(lambda _, images: of_images(images), rows, CPU)
        return np.stack([maps for _, maps in done])

    def release(folder: tempfile.TemporaryDirectory = folder) -> np.ndarray:
        return np.stack([release_of_image(read_image(path)) for path in paths])

    return {"ours": ours, "release": release}


def cam_ways() -> tuple[Callable[[Sequence[np.ndarray]], list], Callable[[np.ndarray], np.ndarray]]:
    """Our function for class maps of images, and the release's for one image; one network."""
    scales, classes = (1.0, 0.5, 1.5, 2.0), [1, 5]
    torch.manual_seed(0)
    plain = build("cam", NETWORK, 20).eval()
    folded = fold_batch_norms(plain).to(memory_format=torch.channels_last)

    def ours(images: Sequence[np.ndarray]) -> list[np.ndarray]:
        labels = [classes] * len(images)
        return cam.class_activation_maps(folded, images, labels, scales=scales, flip=True, stride=8)

    @torch.no_grad()
    def release(image: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        cells = [-(-side // 8) for side in image.shape[:2]]
        total = 0
        for scale in scales:
            size = [max(16, round(side * scale / 16) * 16) for side in image.shape[:2]]
            batch = F.interpolate(pixels, size, mode="bilinear", antialias=True)
            for mirrored in (False, True):
                seen = batch.flip(3) if mirrored else batch
                maps = F.relu(plain.activations(seen.contiguous())[:, [c - 1 for c in classes]])
                maps = maps.flip(3) if mirrored else maps
                total = total + F.interpolate(maps, cells, mode="bilinear")[0]
        return cam.normalise(total.numpy())

    return ours, release


def compare(make: Callable[..., Ways], width: int, height: int, tolerance: float) -> dict:
    """Time two ways in turn. Raises AssertionError where their outputs differ by more.

    tolerance: greatest difference of any element, relative to the greatest element.
    """
    ways = make(width, height)
    row = {"what": f"{make.__name__}, {width} x {height}"}
    row["error"] = _error(ways["ours"](), ways["release"](), tolerance)
    seconds = [(_time(ways["ours"]), _time(ways["release"])) for _ in range(PAIRS)]
    return {
        **row,
        "ours_ms": 1000 * statistics.median(a for a, _ in seconds),
        "release_ms": 1000 * statistics.median(b for _, b in seconds),
        "ratio": statistics.median(b / a for a, b in seconds),
        "ours_mb": peak_megabytes(make, width, height, "ours"),
        "release_mb": peak_megabytes(make, width, height, "release"),
    }


def bench_large_walk(width: int, height: int, *, squarings: int) -> dict:
    """A walk whose dense matrix is too large to square eight times, or to make at all.

    squarings: how many of the eight are timed; the release takes at least as long as these.
    """
    scores, edges = walk_inputs(width, height)
    ours = walks(width, height)["ours"]
    row = {"what": f"walks, {width} x {height}"}
    row["error"] = _error(ours(), walk_by_steps(scores, edges), 1e-4)
    row["ours_ms"] = 1000 * statistics.median(_time(ours) for _ in range(PAIRS))
    row["ours_mb"] = peak_megabytes(walks, width, height, "ours")
    if squarings:
        matrix = dense_transition(edges)
        start = time.perf_counter()
        for _ in range(squarings):
            matrix = matrix @ matrix
        row["release_ms"] = 1000 * (time.perf_counter() - start)
        row["ratio"] = row["release_ms"] / row["ours_ms"]
        row["release_mb"] = 2 * matrix.nbytes / 2**20
        row["what"] += f" (release: {squarings} of 8 squarings)"
    return row


def bench_dcrf_workers() -> dict:
    """The dCRF of 16 images by two processes, and by one."""
    image, maps = noisy_squares(500, 375)
    scores = with_background(maps, 4)
    rows = [ImageRow(str(number), "", "", (), (), *image.shape[:2]) for number in range(16)]

    def refine(_: ImageRow) -> np.ndarray:
        return pseudo_labels(image, scores, [1, 5], confidence=0.8, dcrf=DCRF)

    def run(processes: int) -> np.ndarray:
        done = parallel.in_processes(refine, rows, processes=processes)
        return np.stack([label_map for _, label_map in done])

    assert (run(1) == run(2)).all()
    seconds = [(_time(partial(run, 2)), _time(partial(run, 1))) for _ in range(PAIRS)]
    return {
        "what": "dCRF of 16 images, 500 x 375: two processes, or one",
        "ours_ms": 1000 * statistics.median(a for a, _ in seconds),
        "release_ms": 1000 * statistics.median(b for _, b in seconds),
        "ratio": statistics.median(b / a for a, b in seconds),
    }


def bench_storage(results: Path) -> dict:
    """Bytes of a finished run from class maps to pseudo labels, and what the release would write.

    The release keeps float32 at the size of the image: one map per label, the scores of two
    dCRFs (each with one map per label and one of the background), and a PNG of labels, assumed
    to be as large as ours.
    """
    tables = sorted((results / "dataset/images").glob("train_aug_*.csv"))
    rows = read_images(tables)
    folders = ["cam/maps", "affinity_labels", "affinity/edges"]
    folders += ["walk/scores", "walk/labels", "pseudo_labels"]
    ours = sum(
        path.stat().st_size
        for folder in folders
        for name in [*(row.image for row in rows), *(table.stem for table in tables)]
        for path in (results / folder).glob(f"{name}.*")
    )
    maps = sum(4 * row.height * row.width * (3 * len(row.labels) + 2) for row in rows)
    png = sum((results / "pseudo_labels" / f"{row.image}.png").stat().st_size for row in rows)
    return {
        "what": f"bytes from CAM to pseudo labels, {len(rows)} images",
        "ours_mb": ours / 2**20,
        "release_mb": (maps + png) / 2**20,
        "ratio": (maps + png) / ours,
    }


def peak_megabytes(make: Callable[..., Ways], width: int, height: int, way: str) -> float:
    """Peak memory in MiB of a new process that makes the inputs and computes once."""
    context = multiprocessing.get_context("spawn")
    settings = "cpu", torch.get_num_threads()
    with ProcessPoolExecutor(1, context, open_device, settings) as pool:
        return pool.submit(_run_once, make, width, height, way).result()


def _run_once(make: Callable[..., Ways], width: int, height: int, way: str) -> float:
    Path("/proc/self/clear_refs").write_text("5")  # the peak of the imports does not count
    before = _memory("VmRSS")
    make(width, height)[way]()
    return _memory("VmHWM") - before


def _memory(what: str) -> float:
    return int(Path("/proc/self/status").read_text().split(f"{what}:")[1].split()[0]) / 1024


def _error(found: np.ndarray, expected: np.ndarray, tolerance: float) -> float:
    error = np.abs(np.float64(found) - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"outputs differ by {error:.1e}"
    return error


def _time(function: Callable) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default="results/bench.csv")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--results", type=Path, default="results", help="a finished run, whose bytes are counted"
    )
    parser.add_argument(
        "--against", metavar="COMMIT", help="time trainings and labels against a commit instead"
    )
    arguments = parser.parse_args()
    if arguments.against:
        write(arguments.output.with_name("bench_against.csv"), compare_with(arguments.against))
        return
    is_finished = (arguments.results / "metrics.csv").exists()
    rows = []

    def report(row: dict) -> None:
        print(pd.Series(row).to_string(float_format=FORMAT), end="\n\n", flush=True)
        rows.append(row)

    report(bench_dcrf_workers())  # first, since torch's threads do not survive a fork
    open_device("cpu", arguments.threads)
    steps = [
        partial(compare, walks, 500, 375, 1e-4),
        partial(bench_large_walk, 1024, 1024, squarings=2),
        partial(bench_large_walk, 2048, 1024, squarings=0),
        partial(bench_large_walk, 3840, 2160, squarings=0),
        *(partial(compare, crfs, *size, 1e-4) for size in SIZES[:2]),
        # Mean field amplifies rounding: the release's own output changes by 3e-4 here if its input
        # changes by 2e-7.
        partial(compare, crfs, *SIZES[2], 1e-3),
        *(partial(compare, cams, *size, 1e-4) for size in SIZES),
        partial(compare, cams_of_eight_files, *SIZES[0], 1e-4),
        *([partial(bench_storage, arguments.results)] if is_finished else []),
    ]
    for step in steps:
        report(step())
    write(arguments.output, pd.DataFrame(rows))


def write(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4g")
    print(table.to_string(index=False, float_format=FORMAT, na_rep="-"))


if __name__ == "__main__":
    main()
