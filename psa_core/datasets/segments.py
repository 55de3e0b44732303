"""Segments of images, as any segmenter gives them, in the folder `pseudo_labels.segments`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from psa_core.errors import UserError
from psa_core.runtime.files import refusal

REMEDY = "save segment numbers as a grey PNG, or masks [N, H, W] by numpy.savez_compressed"


def read_segments(path: str | Path, size: tuple[int, int]) -> np.ndarray:
    """Segments of a file.

    path: a grey or palette PNG of 8 or 16 bits, in which each value but 0 is a segment; or an .npz
    of one array [N, H, W], in which all but 0 belongs to segment n; these may overlap.
    size: (H, W) of the image, upright.
    Returns int [H, W] numbers, or bool [N, H, W] masks, as `segments.vote` takes them.
    Raises UserError, with file, value and remedy, for any other file.
    """
    if not Path(path).exists():
        raise UserError(f"{path}: no segments of this image: add the file")
    if reason := refusal(path):
        raise UserError(f"{path}: no segments ({reason}): {REMEDY}")
    try:
        found = _read_npz(path) if Path(path).suffix == ".npz" else _read_png(path)
    except Exception as error:  # decoders raise a dozen types on damaged files
        raise UserError(f"{path}: no segments ({error}): {REMEDY}") from error
    height, width = found.shape[-2:]
    if (height, width) != tuple(size):
        raise UserError(
            f"{path}: {width} x {height} pixels, but its image has {size[1]} x "
            f"{size[0]}: segment the image as it is"
        )
    return found


def _read_png(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        if image.format != "PNG" or image.mode not in ("1", "L", "P", "I", "I;16"):
            raise ValueError(f"a {image.format} of mode {image.mode}")
        return np.asarray(image).astype(np.int64)


def _read_npz(path: str | Path) -> np.ndarray:
    with np.load(path) as arrays:
        if len(arrays.files) != 1:
            raise ValueError(f"arrays {', '.join(arrays.files)} instead of one")
        masks = arrays[arrays.files[0]]
    if masks.ndim != 3 or masks.dtype.kind not in "bui":
        raise ValueError(f"{masks.dtype} of shape {masks.shape}")
    return masks != 0
