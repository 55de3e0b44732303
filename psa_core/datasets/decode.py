"""Files of images and masks, decoded and turned upright.

A photograph may be stored turned or mirrored, with its orientation in the EXIF data. Images are
used as they are to be seen. A mask that has the size of the stored pixels is turned with its image.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from psa_core.datasets.bands import (
    DEEP,
    has_tiff,
    knows_heic,
    open_image,
    read_values,
    size_of_tiff,
    to_rgb,
)
from psa_core.datasets.formats.reading import AS_STORED, Reading
from psa_core.datasets.formats.source import DatasetError
from psa_core.runtime.files import content_of, refusal

SMALLEST_SIDE = 32  # one cell of a feature map at output stride 32
TURNS = {  # by EXIF orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
PNG_EXIF = {"exif", "Raw profile type exif", "XML:com.adobe.xmp"}
SIDEWAYS = (5, 6, 7, 8)  # these exchange width and height
LOSSY = ("AVIF", "HEIF", "JPEG", "JPEG2000", "MPO")
LOSSY_IN_TIFF = ("jpeg", "tiff_jpeg")
# Raw modes of TIFF masks whose values are read as they are stored, not inverted or with other bits.
PLAIN = ("1", "L", "P", "L;2", "L;4", "P;1", "P;2", "P;4")
GREY_BITS = {"1": 1, "L;2": 2, "L;4": 4}  # Pillow spreads such values over 0..255


def read_image(path: str | Path, reading: Reading = AS_STORED) -> np.ndarray:
    """Image as RGB, uint8 [H, W, 3], writable, upright.

    Without a reading, grey, palette, RGBA and CMYK images are converted.
    reading: which bands and values are taken; see `bands.to_rgb`.
    Raises DatasetError, with the path, where the file cannot be decoded or read so.
    """
    if reading != AS_STORED:
        return _read_values(path, path, reading)
    image = _decode(path, path)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def examine(
    path: str | Path, content: io.BytesIO | None = None, reading: Reading = AS_STORED
) -> tuple[tuple[int, int] | None, list[str]]:
    """Decode an image and return its (width, height) and why a network cannot take it.

    content: of the file, if it has been read. The size is None if it cannot be decoded.
    reading: as for `read_image`.
    Each problem has file, value and remedy: damaged, a side below SMALLEST_SIDE, no 8-bit channels,
    bands or values that the reading does not fit.
    """
    problems = []
    try:
        if reading != AS_STORED:
            height, width = _read_values(path, content or path, reading).shape[:2]
        else:
            image = _decode(path, content or path)
            width, height = image.size
            if image.mode.startswith(("I", "F")) or image.info["deep"]:
                problems.append(f"{path}: has more than 8 bits per channel: {DEEP}")
    except DatasetError as error:
        return None, [str(error)]
    if min(width, height) < SMALLEST_SIDE:
        problems.append(
            f"{path}: {width} x {height} pixels: each side needs at least {SMALLEST_SIDE}; enlarge "
            "it or leave it out"
        )
    return (width, height), problems


def upright_size(path: str | Path) -> tuple[int, int] | None:
    """(width, height) of an image by its header; None where it is damaged."""
    header = _header(path)
    return header and header[0]


def fits(image: str | Path, mask_size: tuple[int, int] | None) -> bool:
    """Whether a mask has the size of an image, upright or as stored; True where one is damaged."""
    header = _header(image)
    return header is None or mask_size is None or mask_size in header[:2]


def read_mask(path: str | Path, image: str | Path) -> np.ndarray:
    """The values of a mask, uint8 [H, W], upright like its image.

    path: a PNG or TIFF of one channel; values of 1, 2 and 4 bits are read as they are stored. Or a
    lossless WebP, which has three channels, all of them equal.
    image: its image. A mask of the size that the image is stored in is turned as the image is.
    Raises DatasetError, with the path, where it cannot be decoded or has several channels.
    """
    mask = _decode_mask(path, image)
    if mask.info["format"] == "WEBP" and np.ptp(np.asarray(mask), axis=2).max() == 0:
        mask = mask.getchannel(0)
    if mask.mode not in ("1", "L", "P"):
        raise DatasetError(
            f"{path}: mode {mask.mode}, but a mask has one channel of 8 bits: save class indices "
            "as a grey or palette PNG (colours: add a labelmap.txt, which format: folder reads)"
        )
    if mask.info["format"] == "TIFF" and mask.info["stored"] not in PLAIN:
        raise DatasetError(
            f"{path}: a TIFF of the kind {mask.info['stored']}, whose values are inverted or have "
            "another order of bits: save it as PNG"
        )
    bits = mask.info["bits"]
    values = np.asarray(mask.convert("L") if mask.mode == "1" else mask)
    return values // (255 // (2**bits - 1))


def read_colours(path: str | Path, image: str | Path) -> np.ndarray:
    """The colours of a mask, uint8 [H, W, 3], upright like its image.

    path: a PNG, TIFF or lossless WebP of RGB, grey or palette; an alpha channel must be opaque.
    image: as for `read_mask`. Raises DatasetError as that does.
    """
    mask = _decode_mask(path, image)
    if mask.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise DatasetError(f"{path}: mode {mask.mode}: save it as an RGB PNG of 8 bits per channel")
    colours = np.asarray(mask.convert("RGBA"))
    if not (colours[..., 3] == 255).all():
        raise DatasetError(
            f"{path}: some pixels are transparent, so that their class is not clear: save it "
            "without transparency"
        )
    return colours[..., :3]


def _decode_mask(path: str | Path, image: str | Path) -> Image.Image:
    mask = _decode(path, path)
    is_lossy_tiff = mask.info.get("compression") in LOSSY_IN_TIFF
    is_lossy_webp = mask.info["format"] == "WEBP" and not _is_lossless_webp(path)
    if mask.info["format"] in LOSSY or is_lossy_tiff or is_lossy_webp:
        raise DatasetError(
            f"{path}: a lossy {mask.info['format']}, whatever its name: saving it so has changed "
            "the values; draw or export the mask again, as PNG"
        )
    header = _header(image)
    if header and not mask.info["turned"]:
        _, stored, orientation = header
        if orientation in TURNS and mask.size == stored:
            return mask.transpose(TURNS[orientation])
    return mask


def _is_lossless_webp(path: str | Path) -> bool:
    """Whether the pixels are in a chunk VP8L; a lossy file has them in one called "VP8 "."""
    content, place = Path(path).read_bytes(), 12
    while kind := content[place : place + 4]:
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8L"
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return False


def _header(path: str | Path) -> tuple[tuple[int, int], tuple[int, int], int] | None:
    """(upright size, stored size, orientation) of an image; None where it is damaged."""
    try:
        with open_image(path) as image:
            orientation = _orientation(image)
            other = image.size[::-1] if orientation in SIDEWAYS else image.size
            # Pillow itself turns TIFF, and its size is upright from the start.
            sizes = (image.size, other) if image.format == "TIFF" else (other, image.size)
            return *sizes, orientation
    except Exception:  # as in `_decode`
        pass
    try:  # Pillow knows no TIFF of many bands
        size = size_of_tiff(path)
    except Exception:
        return None
    return size, size, 1


def _orientation(image: Image.Image) -> int:
    if image.format == "PNG" and not PNG_EXIF & image.info.keys():
        return 1  # Pillow would decode all of it to look for EXIF data at the end
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF data do not make an image unusable
        return 1


def _read_values(
    path: str | Path, content: str | Path | io.BytesIO, reading: Reading
) -> np.ndarray:
    """uint8 [H, W, 3] by a reading, upright."""
    if reason := None if isinstance(content, io.BytesIO) else refusal(path):
        raise DatasetError(f"{path}: cannot be decoded ({reason}): replace the file")
    image = to_rgb(path, read_values(path, content), reading)
    if isinstance(content, io.BytesIO):
        content.seek(0)
    try:
        with open_image(content) as header:
            turn = TURNS.get(_orientation(header))
    except UnidentifiedImageError:  # many bands
        turn = None
    return image if turn is None else np.array(Image.fromarray(image).transpose(turn))


def _decode(path: str | Path, content: str | Path | io.BytesIO) -> Image.Image:
    """The decoded image in its own mode, upright.

    Its `info` holds `turned`, whether it has an orientation of its own, `bits` of a grey pixel, the
    `format` of the file, `stored`, Pillow's mode of the stored values, and `deep`, whether it has
    shortened them to 8 bits.
    """
    if reason := None if isinstance(content, io.BytesIO) else refusal(path):
        raise DatasetError(f"{path}: cannot be decoded ({reason}): replace the file")
    try:
        with open_image(content) as image:
            stored = image.tile[0][3] if image.tile else ""  # the mode, or a tuple that begins so
            mode = str(stored[0] if isinstance(stored, tuple) else stored)
            orientation = _orientation(image)
            is_tiff = image.format == "TIFF"  # which Pillow turns
            image.load()
            turn = None if is_tiff else TURNS.get(orientation)
            upright = image if turn is None else image.transpose(turn)
            upright.info |= {
                "turned": orientation in TURNS,
                "bits": GREY_BITS.get(mode, 8),
                "format": image.format,
                "stored": mode,
                "deep": ";16" in mode,
            }
            return upright
    except Exception as error:  # Pillow's decoders raise a dozen types on damaged files
        if isinstance(error, UnidentifiedImageError) and has_tiff(content):
            found = Image.fromarray(to_rgb(path, read_values(path, content), AS_STORED))
            found.info = {"turned": False, "bits": 8, "format": "TIFF", "stored": "", "deep": False}
            return found
        reason = _reason(content, error)
        raise DatasetError(f"{path}: cannot be decoded ({reason}): replace the file") from error


def _reason(content: str | Path | io.BytesIO, error: Exception) -> str:
    """Why an image cannot be decoded, by its content if that is something else."""
    if isinstance(content, io.BytesIO):
        head = content.getvalue()[:64]
    else:
        with open(content, "rb") as file:
            head = file.read(64)
    if not isinstance(error, UnidentifiedImageError):
        return str(error)
    content = content_of(head) or "not an image"
    if content.startswith("HEIC") and not knows_heic():
        content += "; pip install pillow-heif makes HEIC readable"
    return content
