"""The output folder of `psa predict`: what is in it, what is done, and what made it."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from psa_core.datasets.index import ImageRow
from psa_core.delivery.prediction import Prediction, Settings, record
from psa_core.evaluation.overlay import legend, overlay
from psa_core.runtime.artifacts import (
    read_lines,
    replacing,
    write_array,
    write_label_map,
    write_lines,
)

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
LEGEND = "legend.svg"


def open_folder(folder: Path, network: Path, settings: Settings, *, overwrite: bool) -> None:
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
        for name in (SOURCES, LEGEND):
            (folder / name).unlink(missing_ok=True)
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
    """Whether all these files exist, are not older than the image, and hold something.

    After a power cut, files of the last seconds may be empty.
    """
    time = image.stat().st_mtime_ns
    states = [path.stat() if path.exists() else None for path in paths.values()]
    return all(state and state.st_mtime_ns >= time and state.st_size for state in states)


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
        with replacing(paths["overlays"], flush=False) as temporary:
            Image.fromarray(overlay(row.read(), prediction.labels)).save(temporary)
    if "confidence" in paths:
        with replacing(paths["confidence"], flush=False) as temporary:
            Image.fromarray(prediction.confidence).save(temporary)
    if prediction.probabilities is not None:
        write_array(paths["probabilities"], prediction.probabilities)
    if "records" in paths:
        with replacing(paths["records"], flush=False) as temporary:
            temporary.write_text(json.dumps(record(row, prediction, classes)), encoding="utf-8")
    write_label_map(paths["masks"], prediction.labels)


def write_legend(folder: Path, classes: Sequence[str]) -> None:
    """Write the colours of the classes in the overlays.

    Raises ValueError where the folder has overlays in other colours, as earlier versions drew them.
    """
    path, lines = folder / LEGEND, legend(classes)
    if (folder / "overlays").exists() and not (path.exists() and read_lines(path) == lines):
        raise ValueError(
            f"{folder / 'overlays'}: drawn by an earlier version, in other colours; choose another "
            "folder, or discard them with --overwrite"
        )
    write_lines(path, lines)


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
