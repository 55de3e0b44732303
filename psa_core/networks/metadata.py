"""Metadata of network files. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import safetensors

from psa_core.datasets.formats.reading import Reading, reading_of
from psa_core.errors import UserError
from psa_core.runtime.artifacts import REBUILD
from psa_core.runtime.files import refusal

FORMAT = 1  # of the metadata
KEY = "psa"  # a single key, because safetensors writes several in any order


def encode(metadata: dict) -> dict[str, str]:
    """Metadata in the form that safetensors writes; the order of keys is kept."""
    return {KEY: json.dumps({"format": FORMAT, **metadata}, allow_nan=False)}


def read_metadata(path: str | Path) -> dict:
    """Read the metadata of a network file.

    Returns builtins: `format`; `stage`; `classes`, the names of indices 1..C; `settings`, section
    `network` of the stage; `preprocessing`, which the network applies itself: mean and standard
    deviation of the channels, for images in [0, 1]; `versions` of packages. From a training also
    `dataset`, `seed`, `training`, that section of the stage, and `images`, the bands and the range
    of values that were read (`formats.reading.Reading`); from `make_prototypes` also `prototypes`,
    its settings; from `delivery.model.write_model`
    also `inference`, `metrics` and `licence`.
    Raises UserError, with the file, for any other file; OSError where it is missing.
    """
    if Path(path).exists() and (reason := refusal(path)):
        raise UserError(f"{path}: no network ({reason}); {REBUILD}")
    with open(path, "rb") as file:
        if file.read(2) == b"PK":  # a zip archive, as torch.save writes them
            raise UserError(
                f"{path}: not a network of this version; a network.pt of an earlier one lacks the "
                "names of its classes: run the workflow again to make network.safetensors"
            )
    metadata = find_metadata(path)
    if metadata is None:
        raise UserError(
            f"{path}: tensors without the metadata of this workflow; choose its "
            "results/model.safetensors or a network.safetensors"
        )
    if metadata["format"] > FORMAT:
        raise UserError(
            f"{path}: format {metadata['format']}, but this psa_core reads up to {FORMAT}; install "
            f"psa_core {metadata['versions']['psa_core']}, which wrote it"
        )
    return metadata


def check_frozen(paths: Iterable[str | Path], classes: Sequence[str], reading: Reading) -> None:
    """Check the networks of a run with `freeze`: that they exist and are for this data set.

    classes: those of the data set. reading: how its images are read.
    Raises UserError, with the file and the remedy, for the first that does not fit.
    """
    for path in paths:
        if not Path(path).exists():
            raise UserError(f"freeze: true, but there is no {path}; run without it first")
        metadata = read_metadata(path)
        if (known := metadata["classes"]) != list(classes):
            raise UserError(
                f"freeze: true, but {path} is for the classes {', '.join(known)}, and the data set "
                f"has {', '.join(classes)}; set dataset.classes to those, or train without freeze"
            )
        if problem := reading_problem(metadata, reading):
            raise UserError(f"freeze: true, but {path} {problem}, or train without freeze")


def reading_problem(metadata: dict, reading: Reading) -> str:
    """Why a network does not fit images that are read so, and the remedy; "" if it does.

    A network that does not say how its training images were read fits any.
    """
    read = reading_of(metadata.get("images", reading._asdict()))
    if read == reading:
        return ""
    values = [f"{key}: {list(each) or 'null'}" for key, each in read._asdict().items()]
    return (
        "learned from images that were read in another way than those of the data set; set "
        f"dataset: {{{', '.join(values)}}}"
    )


def find_metadata(path: str | Path) -> dict | None:
    """The metadata of any safetensors file; None if this workflow did not write it.

    Raises UserError, with the file, if it is damaged.
    """
    try:
        with safetensors.safe_open(path, "np") as file:
            text = (file.metadata() or {}).get(KEY)
            return text and json.loads(text)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable network ({error}); {REBUILD}") from error


def is_safetensors(path: str | Path) -> bool:
    """Whether a file has the layout of safetensors: a length in 8 bytes, then a JSON object."""
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{"


def shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of a network file by name."""
    with safetensors.safe_open(path, "np") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
