"""The files of one image on the review page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from psa_core.datasets.cache import reduced
from psa_core.runtime.artifacts import IGNORE, replacing

THUMBNAIL, LARGE = 200, 800  # longest sides in pixels
OPACITY = 0.45
STRIPE = 4  # width of the stripes of a class in pixels
# Okabe and Ito's colours, which people with any colour vision can tell apart, without black.
HUES = np.array(
    [
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
    ],
    np.uint8,
)
GREY = np.array([150, 150, 150], np.uint8)  # of ignored pixels


def class_colours(classes: int) -> np.ndarray:
    """The colours of each class's stripes, uint8 [C, 2, 3]; two equal ones for the first seven."""
    number = np.arange(classes)
    first = number % len(HUES)
    return HUES[np.stack([first, (first + number // len(HUES)) % len(HUES)], axis=1)]


def write_pictures(
    folder: str | Path, image: str, photograph: np.ndarray, labels: np.ndarray
) -> None:
    """Write thumbnails/{image}.jpg, photographs/{image}.jpg and labels/{image}.js.

    image: its id. photograph: uint8 [H, W, 3]. labels: uint8 [H, W] class indices.
    The thumbnail is two pictures side by side: the photograph, and the same with its label.
    """
    small, large = reduced(photograph, THUMBNAIL), reduced(photograph, LARGE)
    tinted = overlay(small, _resized(labels, small.shape[:2]))
    _write_jpeg(f"{folder}/thumbnails/{image}.jpg", np.concatenate([small, tinted], axis=1))
    _write_jpeg(f"{folder}/photographs/{image}.jpg", large)
    height, width = large.shape[:2]
    runs = run_lengths(_resized(labels, (height, width)))
    with replacing(f"{folder}/labels/{image}.js") as temporary:
        text = json.dumps([image, width, height, runs], separators=(",", ":"))
        temporary.write_text(f"showLabel(...{text});\n", encoding="ascii")


def overlay(photograph: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A photograph, uint8 [H, W, 3], tinted by a label map with outlines; the rest is as it was.

    labels: uint8 [H, W] class indices; the background (0) is not tinted, ignored pixels are grey.
    """
    colours = np.zeros((256, 2, 3), np.uint8)
    colours[1:IGNORE] = class_colours(IGNORE - 1)
    colours[IGNORE] = GREY
    y, x = np.indices(labels.shape)
    colour = colours[labels, (x + y) // STRIPE % 2]
    weight = np.where(labels == 0, 0, np.where(outline(labels), 1, OPACITY))[..., None]
    return (weight * colour + (1 - weight) * photograph).round().astype(np.uint8)


def outline(labels: np.ndarray) -> np.ndarray:
    """Pixels, bool [H, W], with a neighbour above, below, left or right of another class."""
    found = np.zeros(labels.shape, bool)
    vertical, horizontal = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    found[1:] |= vertical
    found[:-1] |= vertical
    found[:, 1:] |= horizontal
    found[:, :-1] |= horizontal
    return found


def run_lengths(labels: np.ndarray) -> list[int]:
    """Class index and length of each run of equal pixels in turn, row by row as one sequence."""
    flat = labels.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=flat[0] ^ 1))
    lengths = np.diff(starts, append=flat.size)
    return np.stack([flat[starts].astype(int), lengths], axis=1).ravel().tolist()


def _resized(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Label map at (height, width)."""
    return np.array(Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST))


def _write_jpeg(path: str, pixels: np.ndarray) -> None:
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, quality=85)
