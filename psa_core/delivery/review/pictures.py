"""The files of one image on the review page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from psa_core.datasets.cache import reduced
from psa_core.evaluation.overlay import overlay
from psa_core.runtime.artifacts import replacing

THUMBNAIL, LARGE = 200, 800  # longest sides in pixels


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
    with replacing(f"{folder}/labels/{image}.js", flush=False) as temporary:
        text = json.dumps([image, width, height, runs], separators=(",", ":"))
        temporary.write_text(f"showLabel(...{text});\n", encoding="ascii")


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
    with replacing(path, flush=False) as temporary:
        Image.fromarray(pixels).save(temporary, quality=85)
