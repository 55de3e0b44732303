"""`psa classify`: tags of images by a CAM network, as proposed labels for new images."""

from __future__ import annotations

import argparse
import csv
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from psa_core.datasets.formats.reading import reading_of
from psa_core.datasets.index import ImageRow
from psa_core.delivery.images import (
    check_images,
    check_longest_side,
    cores,
    file_name,
    find_images,
    say_problems,
)
from psa_core.networks.backbone import scaled, to_batch
from psa_core.networks.files import read_network
from psa_core.networks.metadata import read_metadata
from psa_core.runtime import inference, logs
from psa_core.runtime.artifacts import replacing
from psa_core.runtime.compute import check_finite, half_precision, open_device

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", type=Path, help="results/cam/network.safetensors of a run")
    parser.add_argument("images", nargs="*", help="files, folders or patterns in quotes")
    parser.add_argument("--list", type=Path, metavar="FILE", help="file with one path per line")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the tags in the format of labels.csv"
    )
    parser.add_argument(
        "--threshold", type=float, default=0.5, help="lowest score of a tag (default: %(default)s)"
    )
    parser.add_argument(
        "--longest-side",
        type=int,
        metavar="PIXELS",
        help="resize images to this longest side first, 0 for as they are (default: the middle of "
        "what the network was trained on)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--threads", type=int, default=cores(), help="CPU cores (default: all)")


def run(options: argparse.Namespace) -> int:
    """Print a line per image with its tags, best first; returns 1 if images were left out."""
    metadata = read_metadata(options.network)
    if metadata["stage"] != "cam":
        raise ValueError(
            f"{options.network}: a network of the stage {metadata['stage']}, which knows no tags; "
            "choose results/cam/network.safetensors"
        )
    check_longest_side(options.longest_side)
    images = find_images(options.images, listed=options.list)
    reading = reading_of(metadata.get("images", {}))
    rows, problems = check_images(images, threads=options.threads, reading=reading)
    device = open_device(options.device, options.threads)
    network = read_network(options.network, device)
    longest_side = options.longest_side
    if longest_side is None:
        longest_side = trained_side(metadata)
    names, found = metadata["classes"], {}

    def predict(_: Sequence[ImageRow], pixels: Sequence[np.ndarray]) -> np.ndarray:
        return scores(network, pixels)

    results = inference.predictions(predict, rows, device, longest_side=longest_side or None)
    for row, values in logs.progress(results, total=len(rows), label="images"):
        order = np.argsort(-values, kind="stable")
        tags = [names[i] for i in order if values[i] >= options.threshold]
        shown = ", ".join(f"{names[i]} {values[i]:.2f}" for i in order[: max(1, len(tags))])
        print(f"{file_name(row)}: {shown if tags else f'no tag (highest: {shown})'}", flush=True)
        found[file_name(row)] = tags
    if options.csv:
        write_labels(options.csv, found, names)
    return say_problems(problems, log.error)


def trained_side(metadata: dict) -> int | None:
    """The middle of the longest sides that a network was trained on; None if it is not known."""
    sides = metadata.get("training", {}).get("longest_side")
    return round(sum(sides) / 2) if sides else None


@torch.inference_mode()
def scores(network: nn.Module, images: Sequence[np.ndarray]) -> np.ndarray:
    """Scores float32 [B, C] of the classes in [0, 1], the sigmoid of the CAM network's logits.

    images: uint8 [H, W, 3], all of one size.
    """
    device = next(network.parameters()).device
    pixels = scaled(to_batch(images, device), 1.0, network.backbone.stride)
    with half_precision(device):
        logits = network(pixels)
    check_finite(logits)
    return logits.float().sigmoid().cpu().numpy()


def write_labels(path: Path, tags: dict[str, list[str]], names: Sequence[str]) -> None:
    """Write tags by file name as a labels.csv.

    A ";" after the last tag shows that names may contain spaces. Images without a tag have an empty
    field, which the user must fill: the workflow refuses it.
    """
    end = ";" if any(" " in name for name in names) else ""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "labels"])
        for name, found in sorted(tags.items()):
            writer.writerow([name, ";".join(found) + end if found else ""])
