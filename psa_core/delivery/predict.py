"""`psa predict`: label maps of images by a segmentation model, and files derived from them."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from psa_core.datasets.decode import read_image
from psa_core.datasets.index import ImageRow
from psa_core.delivery.images import (
    check_images,
    check_longest_side,
    cores,
    find_images,
    say_problems,
)
from psa_core.delivery.prediction import (
    Prediction,
    Settings,
    overlay,
    predictor,
    record,
    what_was_found,
)
from psa_core.networks.files import read_network
from psa_core.networks.metadata import read_metadata
from psa_core.runtime import inference, logs
from psa_core.runtime.artifacts import (
    replacing,
    write_array,
    write_label_map,
    write_lines,
)
from psa_core.runtime.compute import open_device

log = logging.getLogger(__name__)

# Folders in the output folder, and the suffixes of their files.
KINDS = {
    "masks": ".png",
    "overlays": ".png",
    "confidence": ".png",
    "probabilities": ".npy",
    "records": ".json",
}
MADE_WITH = "made_with.json"
SOURCES = "sources.json"
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
        "--overlay", action="store_true", help="overlays/: the image tinted by classes"
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
    settings = settings_of(options, metadata)
    images = find_images(options.images, listed=options.list, output=options.output)
    asked = [True, options.overlay, options.confidence, options.probabilities, options.json]
    kinds = [kind for kind, is_asked in zip(KINDS, asked, strict=True) if is_asked]
    open_output(options.output, options.network, settings, overwrite=options.overwrite)
    remember_sources(options.output, images)
    write_lines(options.output / "classes.txt", metadata["classes"])
    waiting = {n: p for n, p in images.items() if not is_done(p, files(options.output, n, kinds))}
    if len(waiting) < len(images):
        log.info("%d of %d images are done already", len(images) - len(waiting), len(images))
    remove_temporary(options.output, kinds)
    if settings.tile:
        Image.MAX_IMAGE_PIXELS = None  # Pillow's limit, against hostile files, is 179 megapixels
    rows, problems = check_images(
        waiting, threads=options.threads, progress=logs.counter("checked images")
    )
    if rows:
        device = open_device(options.device, options.threads)
        predict = predictor(
            read_network(options.network, device), settings, device, keep="probabilities" in kinds
        )
        results = inference.predictions(
            predict,
            rows,
            device,
            batch=1 if settings.tile else options.batch,
            # One large image uses all cores, and two take twice the memory.
            side_by_side=1 if settings.tile else inference.SIDE_BY_SIDE,
            longest_side=settings.longest_side,
        )
        images_of: Counter[int] = Counter()
        for row, prediction in logs.progress(results, total=len(rows), label="images"):
            paths = files(options.output, row.image, kinds)
            write(paths, row, prediction, metadata["classes"])
            images_of.update(set(np.unique(prediction.labels).tolist()) - {0} or {0})
        log.info("found %s", what_was_found(images_of, metadata["classes"]))
    if options.json:
        names = images.keys() - (waiting.keys() - {row.image for row in rows})
        write_summary(options, metadata, settings, sorted(names))
    return say_problems(problems, log.error)


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


# --- the output folder ----------------------------------------------------------------------------


def open_output(folder: Path, network: Path, settings: Settings, *, overwrite: bool) -> None:
    """Make the output folder, or check that its predictions were made in the same way.

    overwrite: discard predictions that were not.
    Raises ValueError, with the difference, where they were not, or where the folder has other files
    in the places of predictions.
    """
    digest = hashlib.sha256(network.read_bytes()).hexdigest()
    made_with = {"network": digest, **settings._asdict()}
    path, theirs = folder / MADE_WITH, [folder / kind for kind in KINDS if (folder / kind).exists()]
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        different = [key for key in made_with if found.get(key) != made_with[key]]
        if not different and not overwrite:
            return
        if not overwrite:
            changes = (f"{key} {_short(found.get(key))}" for key in different)
            raise ValueError(
                f"{folder}: has predictions made with other settings ({', '.join(changes)}); "
                "choose another folder, or discard them with --overwrite"
            )
        for kind in theirs:
            shutil.rmtree(kind)
        (folder / SOURCES).unlink(missing_ok=True)
    elif theirs:
        raise ValueError(
            f"{theirs[0]}: not made by psa predict, which would write there; choose another folder"
        )
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(made_with, indent=2) + "\n", encoding="utf-8")


def remember_sources(folder: Path, images: dict[str, Path]) -> None:
    """Record which image each name in the output folder stands for.

    Raises ValueError where a name already stands for another image: its mask would pass as done.
    """
    path = folder / SOURCES
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    sources = {name: str(image.resolve()) for name, image in images.items()}
    if others := [name for name in sources if known.get(name, sources[name]) != sources[name]]:
        raise ValueError(
            f"{folder}: has predictions of {known[others[0]]} by the name {others[0]}, which "
            f"{sources[others[0]]} has, too; choose another folder, or discard them by --overwrite"
        )
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(known | sources, indent=1) + "\n", encoding="utf-8")


def _short(value: object) -> str:
    return f"{value[:12]}..." if isinstance(value, str) else json.dumps(value)


def files(folder: Path, name: str, kinds: Iterable[str]) -> dict[str, Path]:
    """The files of an image's prediction by kind."""
    return {kind: folder / kind / f"{name}{KINDS[kind]}" for kind in kinds}


def is_done(image: Path, paths: dict[str, Path]) -> bool:
    """Whether all these files exist and are not older than the image."""
    time = image.stat().st_mtime_ns
    return all(path.exists() and path.stat().st_mtime_ns >= time for path in paths.values())


def remove_temporary(folder: Path, kinds: Iterable[str]) -> None:
    """Remove what a killed process left of the files that `replacing` writes."""
    for kind in kinds:
        for path in (folder / kind).rglob(f".*{KINDS[kind]}"):
            if re.fullmatch(rf"\..+\..{{8}}{re.escape(KINDS[kind])}", path.name):
                path.unlink(missing_ok=True)


def write(
    paths: dict[str, Path], row: ImageRow, prediction: Prediction, classes: Sequence[str]
) -> None:
    """Write the files of an image's prediction, those of `paths` alone."""
    if "overlays" in paths:
        with replacing(paths["overlays"]) as temporary:
            overlay(read_image(row.path), prediction.labels).save(temporary)
    if "confidence" in paths:
        with replacing(paths["confidence"]) as temporary:
            Image.fromarray(prediction.confidence).save(temporary)
    if prediction.probabilities is not None:
        write_array(paths["probabilities"], prediction.probabilities)
    if "records" in paths:
        with replacing(paths["records"]) as temporary:
            temporary.write_text(json.dumps(record(row, prediction, classes)), encoding="utf-8")
    write_label_map(paths["masks"], prediction.labels)


def write_summary(
    options: argparse.Namespace, metadata: dict, settings: Settings, names: Sequence[str]
) -> None:
    """Write the records of these images to one JSON file."""
    paths = (files(options.output, name, ["records"])["records"] for name in names)
    summary = {
        "network": options.network.name,
        "classes": metadata["classes"],
        "settings": settings._asdict(),
        "images": [json.loads(path.read_text(encoding="utf-8")) for path in paths],
    }
    with replacing(options.json) as temporary:
        text = json.dumps(summary, indent=1, ensure_ascii=False)
        temporary.write_text(f"{text}\n", encoding="utf-8")
