"""Images of other pixels than 8-bit RGB: some bands of many, 16-bit and float values."""

from __future__ import annotations

import functools
import io
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from psa_core.datasets.formats.reading import Reading
from psa_core.datasets.formats.source import DatasetError

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
DEEP = "save it with 8 bits, or set dataset.value_range to the values of black and of white"


def open_image(content: str | Path | io.BytesIO) -> ImageFile.ImageFile:
    """Image.open, which also knows HEIC where pillow-heif is installed."""
    try:
        return Image.open(content)
    except UnidentifiedImageError:
        if not knows_heic():
            raise
        return Image.open(content)


@functools.cache
def knows_heic() -> bool:
    """Whether Pillow reads HEIC, which it learns here from pillow-heif."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def has_tiff(content: str | Path | io.BytesIO) -> bool:
    if isinstance(content, io.BytesIO):
        return content.getvalue()[:4] in TIFF
    with open(content, "rb") as file:
        return file.read(4) in TIFF


def read_values(path: str | Path, content: str | Path | io.BytesIO) -> np.ndarray:
    """All bands of an image as they are stored, [H, W, B] of any numeric type.

    path: named in errors. content: the file, or its bytes.
    Raises DatasetError, with the path, where it cannot be decoded.
    """
    try:
        if isinstance(content, io.BytesIO):
            content.seek(0)
        values = _values_of_tiff(content) if has_tiff(content) else _values_of_others(content)
        if not values.size:
            raise ValueError("no pixels")
    except Exception as error:  # decoders raise a dozen types on damaged files
        raise DatasetError(f"{path}: cannot be decoded ({error}): replace the file") from error
    return values


def size_of_tiff(path: str | Path) -> tuple[int, int]:
    """(width, height) of a TIFF by its header; any exception for another file."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        sizes = dict(zip(file.series[0].axes, file.series[0].shape, strict=True))
    return sizes["X"], sizes["Y"]


def _values_of_others(content: str | Path | io.BytesIO) -> np.ndarray:
    with open_image(content) as image:
        # Pillow shortens values of 16 bits to 8, except in grey images without transparency.
        stored = str(image.tile[0][3]) if image.tile else ""
        if ";16" in stored and not image.mode.startswith("I"):
            raise ValueError("colours or transparency of 16 bits, but no TIFF: save it as TIFF")
        plain = image.convert("RGB") if image.mode in ("P", "1") else image
        return np.atleast_3d(np.asarray(plain))


def _values_of_tiff(content: str | Path | io.BytesIO) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(content) as file:
        series = file.series[0]
        kind = tifffile.PHOTOMETRIC(series.keyframe.photometric)
        if kind not in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB):
            raise ValueError(f"a TIFF of the kind {kind.name}: save it as RGB or grey")
        pixels = math.prod(
            n for axis, n in zip(series.axes, series.shape, strict=True) if axis in "YX"
        )
        # As Pillow does: a damaged or hostile header may ask for any memory.
        if Image.MAX_IMAGE_PIXELS and pixels > 2 * Image.MAX_IMAGE_PIXELS:
            raise ValueError(f"{pixels} pixels are too many")
        axes, values = series.axes, series.asarray()
    others = [axis for axis in axes if axis not in "YX"]
    if len(others) > 1:
        raise ValueError(f"axes {axes} of shape {values.shape}, expected rows, columns and bands")
    order = [axes.index(axis) for axis in "YX"] + [axes.index(axis) for axis in others]
    return np.atleast_3d(values.transpose(order))


def to_rgb(path: str | Path, values: np.ndarray, reading: Reading) -> np.ndarray:
    """Values [H, W, B] as uint8 [H, W, 3].

    path: named in errors. Raises DatasetError where bands are missing or must be chosen, values
    need a range, or a value is not finite.
    """
    count = values.shape[2]
    if reading.bands:
        if missing := [band for band in reading.bands if band > count]:
            raise DatasetError(
                f"{path}: has {count} bands, but dataset.bands asks for {missing[0]}: correct it, "
                "or replace the file"
            )
        values = values[..., [band - 1 for band in reading.bands]]
    elif count not in (1, 3):
        raise DatasetError(
            f"{path}: has {count} bands: set dataset.bands to those of red, green and blue, for "
            "example [4, 3, 2]"
        )
    if not np.isfinite(values).all():
        raise DatasetError(f"{path}: has values that are not finite: fill them")
    if not reading.value_range and values.dtype != np.uint8:
        least, most = values.min(), values.max()
        raise DatasetError(f"{path}: has values of {values.dtype}, {least} to {most}: {DEEP}")
    if reading.value_range:
        low, high = reading.value_range
        share = (values.astype(np.float32) - low) / (high - low)
        values = (255 * share.clip(0, 1)).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))
