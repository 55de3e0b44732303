"""Paper and paint: outlines of polygons, sheets cut from them, shadows, noise.

Points are (x, y), y downwards. Colours are RGB in [0, 1]. A canvas is float32 [H, W, 3] in [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

OVERSAMPLING = 3  # polygons are drawn this much larger, then averaged: smooth edges
LIGHT = np.array([-0.6, -0.8])  # where the light comes from: the upper left

_T = np.linspace(0, 1, 12)[:, None]
_HALF_TURN = np.linspace(0, np.pi, 8)[:, None]
_ANGLES = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)

Shape = tuple[np.ndarray, np.ndarray]  # outline [N, 2], colour [3]


@dataclass(frozen=True)
class Sheet:
    """Shapes glued together, the later on top; the whole casts one shadow and has one relief."""

    shapes: list[Shape]
    relief: float = 0.5  # how round it looks: 0 flat paper, 1 a cushion
    grain: float = 0.05  # standard deviation of its paint's brightness
    is_head: bool = False  # the part that tells the class

    def transformed(self, matrix: np.ndarray, offset: np.ndarray) -> "Sheet":
        """Each point p at matrix [2, 2] @ p + offset [2]."""
        moved = [(outline @ matrix.T + offset, colour) for outline, colour in self.shapes]
        return replace(self, shapes=moved)


def pick(rng: np.random.Generator, options: Sequence):
    """One of the options, whatever they are (rng.choice would make an array of them)."""
    return options[rng.integers(len(options))]


def xy(x: float, y: float) -> np.ndarray:
    """A point, or a step from one."""
    return np.array([x, y])


def rgb(code: str) -> np.ndarray:
    """Colour float32 [3] of a code such as "c8a06e"."""
    return np.frombuffer(bytes.fromhex(code), np.uint8) / np.float32(255)


def tone(colour: np.ndarray, amount: float) -> np.ndarray:
    """Colour mixed with white (amount in (0, 1]) or black (amount in [-1, 0))."""
    return colour + (float(amount > 0) - colour) * abs(amount)


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0) -> np.ndarray:
    """Outline [32, 2] of an ellipse, turned by angle (radians)."""
    return _CIRCLE * (rx, ry) @ rotation(angle).T + (x, y)


def rotation(angle: float) -> np.ndarray:
    """Matrix [2, 2] that turns by angle (radians), clockwise as y points down."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def blob(*points: tuple[float, float]) -> np.ndarray:
    """Smooth closed outline [8 N, 2] of N corner points (Chaikin's corner cutting)."""
    outline = np.array(points, float)
    for _ in range(3):
        following = np.roll(outline, -1, axis=0)
        cut = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], 1)
        outline = cut.reshape(-1, 2)
    return outline


def limb(joints, widths) -> np.ndarray:
    """Outline [40, 2] of a round-ended stroke through three joints (x, y), three widths."""
    start, middle, end = np.array(joints, float)
    control = 2 * middle - (start + end) / 2  # so that the curve passes through the middle joint
    curve = (1 - _T) ** 2 * start + 2 * _T * (1 - _T) * control + _T**2 * end
    along = (1 - _T) * (control - start) + _T * (end - control)
    along /= np.hypot(along[:, :1], along[:, 1:]) + 1e-9
    side = along[:, ::-1] * (-1, 1)
    radius = np.interp(_T, [0, 0.5, 1], widths) / 2
    across, beyond = np.cos(_HALF_TURN), np.sin(_HALF_TURN)
    end_cap = end + radius[-1] * (across * side[-1] + beyond * along[-1])
    start_cap = start - radius[0] * (across * side[0] + beyond * along[0])
    return np.concatenate(
        [curve + radius * side, end_cap, (curve - radius * side)[::-1], start_cap]
    )


def noise(rng: np.random.Generator, size: tuple[int, int], cell: float) -> np.ndarray:
    """Smooth noise float32 [H, W], mean about 0, deviation about 0.6, features of cell pixels.

    cell: one length, or (vertical, horizontal) ones.
    """
    cells = np.broadcast_to(cell, 2)
    coarse = [int(n / c) + 2 for n, c in zip(size, cells, strict=True)]
    grid = Image.fromarray(rng.standard_normal(coarse, np.float32))
    return np.asarray(grid.resize(size[::-1], Image.Resampling.BICUBIC))


def blend(canvas: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> None:
    """Paint colour ([3] or [H, W, 3]) over the canvas where alpha [H, W] is 1, in place."""
    canvas += (colour - canvas) * alpha[..., None]


def rasterize(shapes: list[Shape], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Coverage float [H, W] in [0, 1] and the shapes' colours times it, float [H, W, 3]."""
    large = (size[1] * OVERSAMPLING, size[0] * OVERSAMPLING)
    image, mask = Image.new("RGB", large), Image.new("L", large)
    draw, draw_mask = ImageDraw.Draw(image), ImageDraw.Draw(mask)
    colours = np.clip([colour for _, colour in shapes], 0, 1) * 255
    for (outline, _), colour in zip(shapes, colours.round().astype(int).tolist(), strict=True):
        points = (outline * OVERSAMPLING).ravel().tolist()
        draw.polygon(points, fill=tuple(colour))
        draw_mask.polygon(points, fill=255)
    # The ground is black, so the average of colours is that of the covered part times coverage.
    covered, coverage = image.reduce(OVERSAMPLING), mask.reduce(OVERSAMPLING)
    return np.asarray(coverage) / np.float32(255), np.asarray(covered) / np.float32(255)


def paint(canvas: np.ndarray, sheet: Sheet, rng: np.random.Generator, shadow: float = 0.35) -> None:
    """Paint a sheet and its shadow (strength in [0, 1]) on the canvas, in place."""
    window = _window(sheet, canvas.shape[:2])
    if window is None:
        return
    rows, columns = window
    origin = (columns.start, rows.start)
    part = canvas[window]
    alpha, covered = rasterize(
        [(outline - origin, colour) for outline, colour in sheet.shapes], part.shape[:2]
    )
    below = np.zeros_like(alpha)
    below[2:, 1:] = ndimage.gaussian_filter(alpha, 2.2, truncate=2)[:-2, :-1]
    part *= (1 - shadow * below * (1 - alpha))[..., None]
    light = 1 + sheet.grain * (noise(rng, alpha.shape, 1.5) + 1.5 * noise(rng, alpha.shape, 14))
    if sheet.relief:
        light += sheet.relief * _relief(alpha)
    part *= 1 - alpha[..., None]
    part += np.minimum(covered * light[..., None], alpha[..., None])


def silhouette(sheets: list[Sheet], size: tuple[int, int]) -> np.ndarray:
    """Bool [H, W]: where any of the sheets lies; quick, without smooth edges."""
    mask = Image.new("L", size[::-1])
    draw = ImageDraw.Draw(mask)
    for sheet in sheets:
        for outline, _ in sheet.shapes:
            draw.polygon((outline - 0.5).ravel().tolist(), fill=1)  # to centres of pixels
    return np.asarray(mask, bool)


def _window(sheet: Sheet, size: tuple[int, int], margin: int = 8) -> tuple[slice, slice] | None:
    """Rows and columns of the canvas that the sheet and its shadow can touch."""
    points = np.concatenate([outline for outline, _ in sheet.shapes])
    low = np.clip(np.floor(points.min(0)).astype(int) - margin, 0, size[::-1])
    high = np.clip(np.ceil(points.max(0)).astype(int) + margin, 0, size[::-1])
    if (high <= low).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _relief(alpha: np.ndarray) -> np.ndarray:
    """Light float [H, W] in about [-0.6, 0.4] on a cushion of that coverage [H, W]."""
    depth = max(2.0, 0.12 * np.sqrt(alpha.sum()))
    height = ndimage.gaussian_filter(alpha, depth, truncate=2)
    down, right = np.gradient(height)
    slope = (LIGHT[0] * right + LIGHT[1] * down) * depth
    return np.clip(-1.6 * slope, -0.6, 0.4)
