"""`psa predict`: label maps of images by a segmentation model, and files derived from them."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from psa_core.datasets.formats.reading import reading_of
from psa_core.datasets.index import ImageRow
from psa_core.delivery import output
from psa_core.delivery.images import (
    check_images,
    check_longest_side,
    cores,
    find_images,
    say_problems,
)
from psa_core.delivery.prediction import Settings, predictor, what_was_found
from psa_core.networks.files import read_network
from psa_core.networks.metadata import read_metadata
from psa_core.runtime import inference, logs
from psa_core.runtime.artifacts import write_lines
from psa_core.runtime.compute import open_device
from psa_core.runtime.parallel import Map, forked

log = logging.getLogger(__name__)

SMALLEST_TILE = 256
DCRF = {
    "iterations": 10,
    "gaussian": {"sxy": 3, "compat": 3},
    "bilateral": {"sxy": 50, "srgb": 5, "compat": 5},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", type=Path, help="model.safetensors of a run")
    parser.add_argument("images", nargs="*", help="files, folders or patterns in quotes")
    parser.add_argument("--list", type=Path, metavar="FILE", help="file with one path per line")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="masks/, classes.txt, ..."
    )
    parser.add_argument(
        "--overlay", action="store_true", help="overlays/: the image tinted by classes; legend.svg"
    )
    parser.add_argument(
        "--confidence", action="store_true", help="confidence/: probability of the class, 255 is 1"
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="probabilities/: float16 [classes + 1, H, W]"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="classes, pixels, boxes and confidence per image"
    )
    parser.add_argument(
        "--scales", type=float, nargs="+", help="factors on the image's size (default: the run's)"
    )
    parser.add_argument(
        "--flip",
        action=argparse.BooleanOptionalAction,
        help="also predict the mirror image (default: the run's)",
    )
    parser.add_argument(
        "--crf",
        action=argparse.BooleanOptionalAction,
        help="refine the edges by a dense CRF (default: as in the run)",
    )
    parser.add_argument(
        "--longest-side",
        type=int,
        help="resize images to this longest side first, 0 for as they are (default: the run's)",
    )
    parser.add_argument(
        "--tile", type=int, help="predict larger images in tiles of this side, for example 1024"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--batch", type=int, help="images per batch (default: by their size)")
    parser.add_argument("--threads", type=int, default=cores(), help="CPU cores (default: all)")
    parser.add_argument(
        "--overwrite", action="store_true", help="discard the predictions that FOLDER has"
    )


def run(options: argparse.Namespace) -> int:
    """Predict all images that have no predictions yet; returns 1 if images were left out."""
    metadata = read_metadata(options.network)
    classes = metadata["classes"]
    settings = settings_of(options, metadata)
    images = find_images(options.images, listed=options.list, output=options.output)
    asked = [True, options.overlay, options.confidence, options.probabilities, options.json]
    kinds = [kind for kind, is_asked in zip(output.KINDS, asked, strict=True) if is_asked]
    output.open_folder(options.output, options.network, settings, overwrite=options.overwrite)
    output.remember_sources(options.output, images)
    write_lines(options.output / "classes.txt", classes)
    if options.overlay:
        output.write_legend(options.output, classes)
    waiting = {
        name: path
        for name, path in images.items()
        if not output.is_done(path, output.files(options.output, name, kinds))
    }
    if len(waiting) < len(images):
        log.info("%d of %d images are done already", len(images) - len(waiting), len(images))
    output.remove_temporary(options.output, kinds)
    if settings.tile:
        Image.MAX_IMAGE_PIXELS = None  # Pillow's limit, against hostile files, is 179 megapixels
    rows, problems = check_images(
        waiting,
        threads=options.threads,
        reading=reading_of(metadata.get("images", {})),
        progress=logs.counter("checked images"),
    )
    if rows:
        with forked(options.threads if settings.dcrf else 1) as refine_all:
            images_of = predict_rows(rows, options, settings, kinds, classes, refine_all)
        log.info("found %s", what_was_found(images_of, classes))
    if options.json:
        names = images.keys() - (waiting.keys() - {row.image for row in rows})
        output.write_summary(options, metadata, settings, sorted(names))
    return say_problems(problems, log.error)


def predict_rows(
    rows: Sequence[ImageRow],
    options: argparse.Namespace,
    settings: Settings,
    kinds: Sequence[str],
    classes: Sequence[str],
    refine_all: Map,
) -> Counter[int]:
    """Predict images and write their files; returns the number of images by class index."""
    device = open_device(options.device, options.threads)
    network, keep = read_network(options.network, device), "probabilities" in kinds
    results = inference.predictions(
        predictor(network, settings, device, keep=keep, refine_all=refine_all),
        rows,
        device,
        batch=1 if settings.tile else options.batch,
        # The tiles of one large image use all cores, and two such images take twice the memory.
        streams=1 if settings.tile else inference.SIDE_BY_SIDE,
        longest_side=settings.longest_side,
    )
    images_of: Counter[int] = Counter()
    for row, prediction in logs.progress(results, total=len(rows), label="images"):
        paths = output.files(options.output, row.image, kinds)
        output.write(paths, row, prediction, classes)
        images_of.update(set(np.unique(prediction.labels).tolist()) - {0} or {0})
    return images_of


def settings_of(options: argparse.Namespace, metadata: dict) -> Settings:
    """The settings of the run, overridden by the options.

    Raises ValueError for a network of another stage, one without settings, or an unusable option.
    """
    if metadata["stage"] != "segmentation":
        raise ValueError(
            f"{options.network}: a network of the stage {metadata['stage']}; choose the model of "
            "the run, results/model.safetensors"
        )
    of_run = metadata.get("inference", {})
    missing = [key for key in ("scales", "flip") if getattr(options, key) is None]
    if missing and not of_run:
        raise ValueError(
            f"{options.network}: does not know how the run predicted; choose the model of the run, "
            f"results/model.safetensors, or give --{' and --'.join(missing)}"
        )
    if options.scales and min(options.scales) <= 0:
        raise ValueError(f"--scales: {min(options.scales)} is not above 0; 1 is the image's size")
    if options.tile is not None and options.tile < SMALLEST_TILE:
        raise ValueError(f"--tile: {options.tile} is below {SMALLEST_TILE} pixels; try 1024")
    dcrf = of_run.get("dcrf")
    if not dcrf or not dcrf["iterations"]:
        dcrf = None
    if options.crf is not None:
        dcrf = (dcrf or DCRF) if options.crf else None
    check_longest_side(options.longest_side)
    longest_side = of_run.get("longest_side")
    if options.longest_side is not None:
        longest_side = options.longest_side or None
    if options.tile:
        if options.longest_side:
            raise ValueError("--tile and --longest-side: tiles are of images as they are; drop one")
        longest_side = None
    return Settings(
        of_run["scales"] if options.scales is None else options.scales,
        of_run["flip"] if options.flip is None else options.flip,
        dcrf,
        longest_side,
        options.tile,
    )
