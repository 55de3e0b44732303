"""Each stage of a network on a GPU: whether it gives what the CPU gives, and how fast it is.

    make gpu-check                        # needs no network and no data
    make gpu-check ARGS='--presets mine.yaml --images 16'

It makes images and label maps (5 MB), trains the three networks of each preset for a few steps from
random weights, and infers all images with them. The time and memory of networks do not depend on
the weights; the dense CRF takes longer than in practice, as random networks see many classes.
Without a GPU the same code runs on the CPU, and the table says what was not measured. Writes
results/gpu_check.md and .csv. The exit status is 1 if a difference is above its bound.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image
from snakemake.utils import update_config

from psa_core.datasets.index import ImageRow
from psa_core.method import affinity, cam, segmentation
from psa_core.networks.backbone import scaled, to_batch
from psa_core.networks.files import read_network
from psa_core.runtime import inference
from psa_core.runtime.artifacts import write_lines, write_table
from psa_core.runtime.compute import half_precision, open_device
from psa_core.runtime.config import complete
from psa_core.runtime.parallel import Map, forked
from psa_core.runtime.stages import STAGES
from psa_core.training.augmentation import TrainingImages, training_transform
from psa_core.training.loop import Examples, Machine, Outputs, train

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
PRESETS = ["voc_animals", "voc12_resnet50", "voc12_resnet38", "voc12_dinov2"]
CLASSES = [f"class {number}" for number in range(1, 21)]
WARM = 5  # steps before the first time is taken, and between two times
BATCH = 8  # images of 500 x 375 pixels that a GPU infers at once
COMPARED = 2  # images that the CPU infers, too
# The largest difference between GPU and CPU, which half precision explains: of the loss, relative;
# of the network's outputs, relative to the largest; of class maps and affinities, which are in
# [0, 1]; and the share of pixels with another label.
BOUNDS = {"loss": 0.01, "outputs": 0.03, "cam": 0.03, "affinity": 0.03, "segmentation": 0.02}
COLUMNS = {
    "preset": "preset",
    "stage": "stage",
    "loss_difference": "loss, difference",
    "training": "training, images/s",
    "training_use": "GPU, %",
    "training_gib": "GiB",
    "output_difference": "outputs, difference",
    "difference": "result, difference",
    "inference": "inference, images/s",
    "inference_use": "GPU, %",
    "inference_gib": "GiB",
    "sizes": "inference, mixed sizes, images/s",
    "with_crf": "with dense CRF, images/s",
}
SIZES = 16  # number of images, each of another size, that are inferred, too


# --- data -----------------------------------------------------------------------------------------


def write_data(folder: Path, sizes: Sequence[tuple[int, int]]) -> tuple[list[ImageRow], list]:
    """Images with structure at several scales; (their rows, the paths of their label maps).

    sizes: width and height of each, in pixels.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows, masks = [], []
    for number, (width, height) in enumerate(sizes):
        image = np.zeros((height, width, 3), np.float32)
        for cells in (3, 10, 40):
            coarse = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
            image += np.asarray(Image.fromarray(coarse).resize((width, height))) / 3
        path, mask = folder / f"{number}.jpg", folder / f"{number}.png"
        Image.fromarray(image.astype(np.uint8)).save(path)
        classes = sorted(rng.choice(np.arange(1, len(CLASSES) + 1), 2, replace=False).tolist())
        blobs = rng.choice([0, 255, *classes], (6, 8)).astype(np.uint8)
        Image.fromarray(blobs).resize((width, height), Image.Resampling.NEAREST).save(mask)
        names = tuple(CLASSES[c - 1] for c in classes)
        rows.append(ImageRow(str(number), str(path), "", names, tuple(classes), height, width))
        masks.append(mask)
    return rows, masks


# --- one stage ------------------------------------------------------------------------------------


def settings_of(preset: str, steps: int, batch_size: int | None) -> dict:
    """A complete configuration with random weights, and trainings of so many steps."""
    path = Path(preset) if preset.endswith(".yaml") else ROOT / f"config/{preset}.yaml"
    config = yaml.safe_load(path.read_text())
    for stage in STAGES:
        length: dict[str, Any] = {"epochs": 1, "least_steps": steps}
        length |= {"batch_size": batch_size} if batch_size else {}
        update_config(config, {stage: {"network": {"weights": "random"}, "training": length}})
    config["dataset"] = {"format": "folder", "root": "."}
    return complete(config, SCHEMA)


def losses_of(stage: str, config: dict) -> Callable:
    losses = importlib.import_module(f"psa_core.method.{stage}").losses
    return partial(losses, **(config["affinity"]["pairs"] if stage == "affinity" else {}))


def targets_of(stage: str, rows: Sequence[ImageRow], masks: Sequence[Path]) -> list:
    if stage == "cam":
        return cam.label_vectors([row.classes for row in rows], len(CLASSES))
    return list(masks)


def train_timed(
    stage: str, config: dict, rows: list[ImageRow], masks: list[Path], device: str, folder: Path
) -> tuple[Path, list[float]]:
    """Train from random weights.

    Returns the network's file, and the time at every WARM-th step but the first, with nothing left
    for the GPU to do.
    """
    times: list[float] = []
    steps = 0
    losses = losses_of(stage, config)

    def timed(*arguments: Any, **options: Any) -> dict:
        nonlocal steps
        if steps and steps % WARM == 0:
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            times.append(time.perf_counter())
        steps += 1
        return losses(*arguments, **options)

    section, network = config[stage], folder / f"{stage}.safetensors"
    settings = {**{k: section[k] for k in ("network", "training")}, "losses": {}, "seed": 0}
    machine = Machine(device, devices=1, threads=os.cpu_count() or 1)
    outputs = Outputs(network, folder / "losses.csv", folder / "checkpoints")
    examples = Examples(rows, targets_of(stage, rows, masks), CLASSES, folder)
    train(stage, timed, examples, settings, machine, outputs)
    return network, times


def loss_difference(
    stage: str, config: dict, network: Path, rows: list[ImageRow], masks: list[Path], device: str
) -> float:
    """Relative difference of a batch's loss between the device and the CPU, without dropout."""
    keys = ("crop_size", "longest_side", "color_jitter")
    transform = training_transform(**{key: config[stage]["training"][key] for key in keys})
    targets = targets_of(stage, rows, masks)[:COMPARED]
    examples = TrainingImages([row.path for row in rows[:COMPARED]], targets, transform, seed=0)
    pairs = [examples[0, number] for number in range(COMPARED)]
    images, labels = (torch.stack(each) for each in zip(*pairs, strict=True))
    found = []
    for place in ("cpu", device):
        where = torch.device(place)
        with torch.no_grad(), half_precision(where):
            terms = losses_of(stage, config)(
                read_network(network, where), images.to(where), labels.to(where)
            )
        found.append(float(terms["loss"]))
    return abs(found[1] - found[0]) / abs(found[0])


@torch.inference_mode()
def outputs(stage: str, network: Path, rows: Sequence[ImageRow], place: str) -> torch.Tensor:
    """What a network itself gives for images of one size: results can hide differences.

    A network that has hardly learned gives empty class maps, and the same label everywhere.
    """
    device = torch.device(place)
    read = read_network(network, device)
    images = scaled(to_batch([row.read() for row in rows], device), 1.0, read.backbone.stride)
    with half_precision(device):
        found = read.activations(images) if stage == "cam" else read(images)
    return found.float().cpu()


def output_difference(stage: str, network: Path, rows: Sequence[ImageRow], device: str) -> float:
    """Largest difference between the device and the CPU, relative to the CPU's largest output."""
    expected, found = (outputs(stage, network, rows, place) for place in ("cpu", device))
    return float((found - expected).abs().max() / expected.abs().max())


def predictor(stage: str, config: dict, network: Path, device: torch.device) -> Callable:
    """The function that a job of the stage calls for a batch of images; see `inference`."""
    section = config[stage]
    if stage == "cam":
        options = dict(section["inference"])
        read = read_network(network, device, output_stride=options.pop("output_stride"))
        return lambda rows, pixels: cam.class_activation_maps(
            read, pixels, [row.classes for row in rows], **options
        )
    read = read_network(network, device)
    if stage == "affinity":
        options = {key: section["pairs"][key] for key in ("gamma", "distance")}
        options |= {"scale": section["inference"]["scale"]}
        return lambda _, pixels: affinity.edges(read, pixels, **options)
    options = {key: section["inference"][key] for key in ("scales", "flip")}
    return partial(_predict_segmentation, read, options)


def _predict_segmentation(
    network: torch.nn.Module,
    options: dict,
    rows: Sequence[ImageRow],
    pixels: Sequence[np.ndarray],
    **refinement: Any,
) -> np.ndarray:
    size = rows[0].height, rows[0].width
    return segmentation.predict(network, pixels, size=size, **options, **refinement)


def infer(
    predict: Callable, config: dict, rows: list[ImageRow], device: torch.device, warm: int = 0
) -> tuple[dict, list[float]]:
    """The results of all images by id, and the times of the start and the end.

    warm: number of images that are inferred first, and again later: the time starts after them.
    cuDNN prepares its programs in each new thread, and the threads end with the call.
    """
    found, times = {}, [time.perf_counter()]
    side = config["longest_side"]
    results = inference.predictions(predict, [*rows[:warm], *rows], device, longest_side=side)
    for number, (row, result) in enumerate(results, start=1):
        found[row.image] = result
        if number == warm:
            times = [time.perf_counter()]
    return found, [*times, time.perf_counter()]


def speed(rows: Sequence[ImageRow], times: Sequence[float]) -> float:
    """Images per second."""
    return len(rows) / (times[-1] - times[0])


def difference(stage: str, found: dict, expected: dict) -> float:
    """The largest difference over images: of an element, or the share of other labels."""
    pairs = [(np.float32(found[image]), np.float32(expected[image])) for image in expected]
    if stage == "segmentation":
        return max(float((a != b).mean()) for a, b in pairs)
    return max(float(np.nanmax(np.abs(a - b))) for a, b in pairs)


# --- the GPU --------------------------------------------------------------------------------------


@contextmanager
def watched(device: torch.device) -> Iterator[list[tuple[float, float]]]:
    """A list that grows while the block runs: (time, use of the GPU in per cent), five per second.

    It stays empty on a CPU and without nvidia-smi.
    """
    samples: list[tuple[float, float]] = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    if device.type != "cuda" or not shutil.which("nvidia-smi"):
        yield samples
        return
    query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200"]
    query += [f"--id=GPU-{torch.cuda.get_device_properties(device).uuid}"]
    with subprocess.Popen(["nvidia-smi", *query], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = process.stdout

        def collect() -> None:
            for line in lines:
                if line.strip().isdigit():
                    samples.append((time.perf_counter(), float(line)))

        reader = threading.Thread(target=collect)
        reader.start()
        try:
            yield samples
        finally:
            process.kill()
            reader.join()


def of_gpu(device: torch.device, samples: list[tuple[float, float]], times: list[float]) -> dict:
    """Mean use between the first and the last of these times, and peak memory in GiB."""
    if device.type != "cuda":
        return {}
    use = [each for when, each in samples if times[0] <= when <= times[-1]]
    return {
        "use": np.mean(use) if use else np.nan,
        "gib": torch.cuda.max_memory_allocated() / 2**30,
    }


def check_stage(
    preset: str,
    stage: str,
    config: dict,
    rows: list[ImageRow],
    masks: list[Path],
    others: list[ImageRow],
    device: torch.device,
    refine_all: Map,
) -> dict:
    """One row of the table; keys of COLUMNS. others: rows of images of different sizes."""
    row: dict[str, Any] = {"preset": preset, "stage": stage}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with watched(device) as samples:
            network, times = train_timed(stage, config, rows, masks, str(device), folder)
        batch_size = min(config[stage]["training"]["batch_size"], len(rows))
        row["training"] = batch_size * (len(times) - 1) / (times[-1] - times[0]) * WARM
        figures = of_gpu(device, samples, times)
        row |= {f"training_{key}": value for key, value in figures.items()}
        row["loss_difference"] = loss_difference(stage, config, network, rows, masks, str(device))
        row["output_difference"] = output_difference(stage, network, rows[:COMPARED], str(device))
        predict = predictor(stage, config, network, device)
        with watched(device) as samples:
            found, times = infer(predict, config, rows, device, warm=min(BATCH, len(rows)))
        row["inference"] = speed(rows, times)
        figures = of_gpu(device, samples, times)
        row |= {f"inference_{key}": value for key, value in figures.items()}
        row["sizes"] = speed(others, infer(predict, config, others, device)[1])
        expected, _ = infer(
            predictor(stage, config, network, torch.device("cpu")),
            config,
            rows[:COMPARED],
            torch.device("cpu"),
        )
        row["difference"] = difference(stage, found, expected)
        if stage == "segmentation":
            dcrf = complete({"dataset": config["dataset"]}, SCHEMA)[stage]["inference"]["dcrf"]
            refined = partial(predict, dcrf=dcrf, refine_all=refine_all)
            row["with_crf"] = speed(rows, infer(refined, config, rows, device)[1])
    return row


# --- the table ------------------------------------------------------------------------------------


def about(device: torch.device, cores: int) -> str:
    """The machine, in a sentence."""
    versions = f"torch {torch.__version__}, {cores} CPU cores"
    if device.type != "cuda":
        return (
            f"Without a GPU ({versions}): its use and memory, half precision and batches were not "
            "measured."
        )
    gpu = torch.cuda.get_device_properties(device)
    return f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, {versions}."


def markdown(table: pd.DataFrame) -> list[str]:
    lines = [f"| {' | '.join(COLUMNS.values())} |", "|---" * len(COLUMNS) + "|"]
    for _, row in table.iterrows():
        cells = [row[key] for key in COLUMNS]
        cells = ["-" if pd.isna(c) else c if isinstance(c, str) else f"{c:.3g}" for c in cells]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def beyond(table: pd.DataFrame) -> list[str]:
    """A line for each difference above its bound; NaN is above."""
    problems = []
    for _, row in table.iterrows():
        found = {
            "loss": row["loss_difference"],
            "outputs": row["output_difference"],
            row["stage"]: row["difference"],
        }
        for what, difference in found.items():
            if not difference <= BOUNDS[what]:
                name = f"{row['preset']}, {row['stage']}"
                problems.append(
                    f"{name}: difference of {what} is {difference:.3g}, bound {BOUNDS[what]}"
                )
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--presets", nargs="+", default=PRESETS, metavar="NAME")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--size", type=int, nargs=2, default=(500, 375), metavar="PIXELS")
    parser.add_argument("--steps", type=int, default=30, help="of each training")
    parser.add_argument("--batch-size", type=int, help="default: the preset's")
    parser.add_argument("--output", type=Path, default=ROOT / "results")
    options = parser.parse_args(arguments)
    if options.steps <= 2 * WARM:
        parser.error(f"--steps {options.steps}: more than {2 * WARM} are needed")
    cores = os.cpu_count() or 1
    rows: list[dict] = []
    # The processes are forked first, as torch's threads do not survive a fork.
    with forked(cores) as refine_all, tempfile.TemporaryDirectory() as folder:
        device = open_device(options.device, cores)
        width, height = options.size
        images, masks = write_data(Path(folder) / "equal", [(width, height)] * options.images)
        sizes = [
            tuple(side * (2 * SIZES - step) // (2 * SIZES) for side in (width, height))
            for step in range(SIZES)
        ]
        others, _ = write_data(Path(folder) / "different", sizes)
        options.output.mkdir(parents=True, exist_ok=True)
        for preset in options.presets:
            config = settings_of(preset, options.steps, options.batch_size)
            for stage in STAGES:
                start = time.perf_counter()
                row = check_stage(
                    Path(preset).stem, stage, config, images, masks, others, device, refine_all
                )
                rows.append(row)
                print(f"{preset}, {stage}: {time.perf_counter() - start:.0f} s", flush=True)
                table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
                # After each stage, so that a time limit loses only the last one.
                write_table(options.output / "gpu_check.csv", table)
                lines = [about(device, cores), "", *markdown(table)]
                write_lines(options.output / "gpu_check.md", lines)
    problems = beyond(table)
    print("\n".join([*lines, *problems]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
