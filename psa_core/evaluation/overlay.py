"""Label maps over photographs: one palette for all pictures that people look at.

Mask files keep VOC's colours, which other tools expect; over a photograph those are hard to see.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from psa_core.runtime.artifacts import IGNORE

OPACITY = 0.45
LINE = 500  # an outline has 1 / LINE of the longest side on each side of an edge, at least a pixel
STRIPE = 4  # width of the stripes, in widths of the outline
# Okabe and Ito's colours, which people with any colour vision can tell apart, without black. Blue
# comes first: few objects have it.
HUES = np.array(
    [
        (86, 180, 233),
        (230, 159, 0),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
    ],
    np.uint8,
)
GREY = np.array([150, 150, 150], np.uint8)  # of ignored pixels
PIXELS = 2**20  # drawn at once, since each takes some 60 bytes meanwhile


def class_colours(classes: int) -> np.ndarray:
    """The colours of each class's stripes, uint8 [C, 2, 3]; two equal ones for the first seven."""
    number = np.arange(classes)
    first = number % len(HUES)
    return HUES[np.stack([first, (first + number // len(HUES)) % len(HUES)], axis=1)]


def overlay(photograph: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A photograph, uint8 [H, W, 3], tinted by a label map with outlines; the rest is as it was.

    labels: uint8 [H, W] class indices; the background (0) is not tinted, ignored pixels are grey.
    """
    colours = np.zeros((256, 2, 3), np.uint8)
    colours[1:IGNORE] = class_colours(IGNORE - 1)
    colours[IGNORE] = GREY
    line = max(1, max(labels.shape) // LINE)
    drawn, edges = photograph.copy(), outline(labels, line)
    height = max(1, PIXELS // labels.shape[1])
    for top in range(0, len(labels), height):
        rows = slice(top, top + height)
        y, x = np.nonzero(labels[rows])
        index = labels[rows][y, x]
        colour = colours[index, (top + y + x) // (STRIPE * line) % 2]
        weight = np.where(edges[rows][y, x], np.float32(1), np.float32(OPACITY))[:, None]
        tinted = weight * colour + (1 - weight) * photograph[rows][y, x]
        drawn[rows][y, x] = tinted.round().astype(np.uint8)
    return drawn


def outline(labels: np.ndarray, width: int = 1) -> np.ndarray:
    """Pixels, bool [H, W], at most `width` above, below, left or right of another class."""
    found = np.zeros(labels.shape, bool)
    for step in range(1, width + 1):
        vertical = labels[step:] != labels[:-step]
        horizontal = labels[:, step:] != labels[:, :-step]
        found[step:] |= vertical
        found[:-step] |= vertical
        found[:, step:] |= horizontal
        found[:, :-step] |= horizontal
    return found


def legend(classes: Sequence[str]) -> list[str]:
    """The lines of an SVG image: a square and a name for each class 1..C and for ignored pixels."""
    rows = []
    names = [*classes, "ignored"]
    pairs = [*class_colours(len(classes)).tolist(), [GREY.tolist()] * 2]
    for index, (name, pair) in enumerate(zip(names, pairs, strict=True)):
        top = 24 * index + 8
        first, second = (f"rgb({red},{green},{blue})" for red, green, blue in pair)
        rows += [
            f'<rect x="8" y="{top}" width="16" height="16" fill="{first}"/>',
            f'<path d="M8 {top + 16}h16v-16z" fill="{second}"/>',
            f'<text x="32" y="{top + 13}">{html.escape(name)}</text>',
        ]
    width, height = 48 + 14 * max(map(len, names)), 24 * len(names) + 8
    size = f'width="{width}" height="{height}"'
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="14">',
        '<rect width="100%" height="100%" fill="white"/>',
        *rows,
        "</svg>",
    ]
