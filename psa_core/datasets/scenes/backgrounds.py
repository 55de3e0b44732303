"""Places: each paints a textured backdrop, in colours that coats also have."""

import itertools

import numpy as np

from psa_core.datasets.scenes.characters import COATS
from psa_core.datasets.scenes.paper import (
    Sheet,
    blend,
    blob,
    ellipse,
    limb,
    noise,
    paint,
    pick,
    rgb,
    rotation,
    tone,
    xy,
)

Size = tuple[int, int]  # height, width


def backdrop(rng: np.random.Generator, size: Size) -> np.ndarray:
    """A place of any kind with things in it that belong to no class: float32 [H, W, 3]."""
    canvas = pick(rng, PLACES)(rng, size)
    for _ in range(rng.integers(0, 4)):
        paint(canvas, boulder(rng, size), rng)
    return canvas


def boulder(rng: np.random.Generator, size: Size) -> Sheet:
    """A smooth lump in the colour of a coat: what tells an animal from it is the head."""
    height, width = size
    radius = rng.uniform(0.06, 0.17) * min(size)
    at = np.array([rng.uniform(0, width), rng.uniform(0.55, 1) * height])
    angles = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    spread = rng.uniform(0.75, 1.15, 9) * radius
    corners = at + np.stack([1.4 * spread * np.cos(angles), spread * np.sin(angles)], 1)
    colour = pick(rng, COATS)
    return Sheet([(blob(*corners), colour)], relief=0.9)


def wash(rng: np.random.Generator, size: Size, first: str, second: str, cell) -> np.ndarray:
    """Two colours mixed by noise of two scales; float32 [H, W, 3]."""
    cell = np.broadcast_to(cell, 2)
    mix = 0.5 + 0.5 * noise(rng, size, cell) + 0.3 * noise(rng, size, np.maximum(cell / 5, 1))
    return _mix(rgb(first), rgb(second), mix)


def _mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Canvas [H, W, 3] of the second colour where share [H, W] is 1, of the first where it is 0."""
    return first + (second - first) * np.clip(share, 0, 1)[..., None]


def sky(rng: np.random.Generator, size: Size) -> np.ndarray:
    """A gradient with clouds."""
    top, bottom = pick(rng, [("6fa8cf", "e3eef0"), ("8fa6b8", "e9dfd2"), ("e6b48e", "f9ebcb")])
    down = np.linspace(0, 1.3, size[0], dtype=np.float32)[:, None]
    canvas = _mix(rgb(top), rgb(bottom), np.broadcast_to(down, size))
    clouds = noise(rng, size, (14, 34)) + 0.5 * noise(rng, size, (5, 12))
    blend(canvas, rgb("fffaf2"), 0.9 / (1 + np.exp(2 - 4 * clouds)))
    return canvas


def ground(
    canvas: np.ndarray, rng, top: float, texture: np.ndarray, roughness: float = 0.03
) -> None:
    """Cover the canvas with texture [H, W, 3] below a ridge at about top (of its height)."""
    height, width = canvas.shape[:2]
    ridge = top + roughness * noise(rng, (1, width), (1, width / 4))[0]
    below = np.clip(np.arange(height)[:, None] - ridge * height + 0.5, 0, 1)
    canvas *= (
        1
        - 0.25 * np.clip(1 - abs(np.arange(height)[:, None] - ridge * height) / 3, 0, 1)[..., None]
    )
    blend(canvas, texture, below)


def strokes(canvas, rng, colours, count: int, top: float, length: float, lean=0.35, width=1.6):
    """Upright blades all over the ground below top, the nearer the longer."""
    height, across = canvas.shape[:2]
    y = np.sort(rng.uniform(top, 1.05, count))
    size = length * height * (0.35 + y - top)
    base = np.stack([rng.uniform(0, across, count), y * height], 1)
    tip = base + np.stack([lean * size * rng.standard_normal(count), -size], 1)
    half = xy(width / 2, 0)
    blades = np.stack([base - half, tip, base + half], 1)
    shades = np.array([rgb(code) for code in colours])[rng.integers(len(colours), size=count)]
    paint(canvas, Sheet(list(zip(blades, shades, strict=True)), relief=0), rng, shadow=0.15)


def leaves(canvas, rng, colours, count: int, top: float, bottom: float, length: float) -> None:
    """Leaves of every direction between top and bottom (of the height)."""
    height, width = canvas.shape[:2]
    outline = np.array([(-1, 0), (-0.3, -0.4), (0.4, -0.35), (1, 0), (0.4, 0.35), (-0.3, 0.4)])
    at = rng.uniform((0, top * height), (width, bottom * height), (count, 2))
    turns = np.moveaxis(rotation(rng.uniform(0, 2 * np.pi, count)), -1, 0)
    sizes = rng.uniform(0.6, 1.3, (count, 1, 1)) * length * height
    outlines = sizes * (outline @ turns) + at[:, None]
    shades = np.array([rgb(code) for code in colours])[rng.integers(len(colours), size=count)]
    shades = shades * rng.uniform(0.75, 1.15, (count, 1))
    paint(canvas, Sheet(list(zip(outlines, shades, strict=True)), relief=0), rng, shadow=0.3)


def trunks(canvas, rng, colour: str, count: int, bottom: float) -> None:
    """Tree trunks from the upper border down to bottom (of the height)."""
    height, width = canvas.shape[:2]
    for x in rng.uniform(0, width, count):
        foot = bottom * height * rng.uniform(0.9, 1.1)
        thick = width * rng.uniform(0.05, 0.12)
        joints = [(x + rng.normal(0, 8), -10), (x, foot / 2), (x, foot)]
        shapes = [(limb(joints, [thick * 0.8, thick, thick * 1.4]), rgb(colour))]
        paint(canvas, Sheet(shapes, relief=0.9, grain=0.08), rng)


def meadow(rng, size):
    canvas = sky(rng, size)
    top = rng.uniform(0.2, 0.5)
    ground(canvas, rng, top - 0.1, wash(rng, size, "8fae86", "a9bd8d", 20), 0.06)
    ground(canvas, rng, top, wash(rng, size, "86a04c", "b4a95a", (10, 25)))
    strokes(canvas, rng, ["6f8f3f", "9db457", "c3b568", "587a38"], 500, top, 0.09)
    leaves(canvas, rng, ["f4ead0", "e2b33f", "c9675c"], 25, top + 0.05, 1, 0.011)
    return canvas


def beach(rng, size):
    canvas = sky(rng, size)
    top = rng.uniform(0.15, 0.4)
    ground(canvas, rng, top, wash(rng, size, "4f8fa0", "8fbcbb", (2.5, 22)), 0)
    ground(canvas, rng, top + 0.15, wash(rng, size, "f2efe4", "dfe6df", 6), 0.03)
    ground(canvas, rng, top + 0.19, wash(rng, size, "d9b98c", "ead3a7", (6, 30)), 0.03)
    leaves(canvas, rng, ["b89b74", "efe6d6", "a79c90", "c98a6b"], 60, top + 0.3, 1, 0.012)
    return canvas


def street(rng, size):
    """A wall of bricks above paving stones."""
    height, width = size
    canvas = np.broadcast_to(rgb("c9bba8"), (*size, 3)) + 0.04 * noise(rng, size, 2)[..., None]
    course, shapes = rng.uniform(8, 13), []
    colour = rgb(pick(rng, ["9a5b34", "a8563f", "b08a64", "8b8680"]))
    for row in range(int(height / course) + 1):
        for x in np.arange(-(row % 2) * course, width, 2 * course):
            left, top, right, bottom = (
                x,
                row * course,
                x + 2 * course - 1.6,
                (row + 1) * course - 1.6,
            )
            outline = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
            shapes.append((outline, tone(colour, rng.uniform(-0.22, 0.18))))
    paint(canvas, Sheet(shapes, relief=0), rng)
    ground(canvas, rng, rng.uniform(0.6, 0.8), wash(rng, size, "a79c90", "8d857c", (5, 18)), 0)
    return canvas


def forest(rng, size):
    canvas = wash(rng, size, "2f4a38", "6d8a5a", 25)
    leaves(canvas, rng, ["3f6244", "5d8050", "7f9a5b", "2d4a3a"], 260, 0, 0.7, 0.035)
    trunks(canvas, rng, pick(rng, ["6b4630", "7d8288"]), rng.integers(2, 5), 0.68)
    ground(canvas, rng, 0.65, wash(rng, size, "6b5636", "7f8a4c", 12), 0.04)
    leaves(canvas, rng, ["8a6a3c", "6b4630", "a0803f", "68803f"], 160, 0.68, 1, 0.02)
    return canvas


def autumn(rng, size):
    canvas = sky(rng, size)
    top = rng.uniform(0.3, 0.5)
    leaves(canvas, rng, ["c98a4b", "b5562f", "dfae4f", "8f4a2c"], 220, 0, top + 0.05, 0.03)
    trunks(canvas, rng, "4a3a33", rng.integers(1, 4), top + 0.05)
    ground(canvas, rng, top, wash(rng, size, "9a6b3c", "c29b5a", 15))
    leaves(canvas, rng, ["c98a4b", "b5562f", "dfae4f", "9a5b34", "7f7a45"], 260, top, 1, 0.022)
    return canvas


def winter(rng, size):
    canvas = sky(rng, size)
    top = rng.uniform(0.35, 0.55)
    ground(canvas, rng, top - 0.15, wash(rng, size, "7d8ea0", "b9c3cc", 18), 0.12)
    for x in rng.uniform(0, size[1], 5):
        _pine(canvas, rng, x, top * size[0] + 5, rng.uniform(0.15, 0.35) * size[0])
    ground(canvas, rng, top, wash(rng, size, "cfd8e2", "f6f4ef", (12, 35)))
    return canvas


def _pine(canvas, rng, x: float, foot: float, height: float) -> None:
    tiers = [
        np.array([(-0.28, 0), (0, -0.45), (0.28, 0)]) * (1 - 0.25 * i) + xy(0, -0.1 - 0.25 * i)
        for i in range(3)
    ]
    shapes = [
        (tier * height + xy(x, foot), tone(rgb("3d5c4c"), 0.1 * i)) for i, tier in enumerate(tiers)
    ]
    paint(canvas, Sheet(shapes, relief=0.3), rng)


def room(rng, size):
    """Striped or plain wallpaper above a floor of planks."""
    height, width = size
    first, second = pick(rng, [("b9c4b0", "d8dcc8"), ("d9a78c", "e8c9b0"), ("8e9eac", "a8b5bd")])
    canvas = wash(rng, size, first, first, 20) + 0.02 * noise(rng, size, 2)[..., None]
    period = rng.uniform(8, 22)
    blend(
        canvas,
        rgb(second),
        np.broadcast_to(np.arange(width) % period < period / 2, size).astype(float),
    )
    top = rng.uniform(0.5, 0.7)
    ground(canvas, rng, top - 0.03, wash(rng, size, "efe6d6", "e4d8c4", 30), 0)
    _planks(canvas, rng, top, pick(rng, ["b98756", "9a6b42", "6b4630"]))
    if rng.random() < 0.7:
        rug = ellipse(width / 2, rng.uniform(0.85, 0.95) * height, 0.4 * width, 0.1 * height)
        colour = rgb(pick(rng, ["a8563f", "5f7c86", "d9b98c", "7d8288"]))
        inner = (rug - rug.mean(0)) * 0.75 + rug.mean(0)
        paint(
            canvas, Sheet([(rug, colour), (inner, tone(colour, 0.25))], relief=0.1, grain=0.09), rng
        )
    return canvas


def _planks(canvas, rng, top: float, colour: str) -> None:
    """Floor boards that run towards the horizon."""
    height, width = canvas.shape[:2]
    edges, shapes = np.arange(-1.5, 2.6, 0.22), []
    for left, right in itertools.pairwise(edges):
        near = [(2 * x - 0.5) * width for x in (right - 0.008, left)]
        outline = np.array(
            [
                (left * width, top * height),
                ((right - 0.005) * width, top * height),
                (near[0], height),
                (near[1], height),
            ]
        )
        shapes.append((outline, tone(rgb(colour), rng.uniform(-0.15, 0.15))))
    ground(canvas, rng, top, np.broadcast_to(tone(rgb(colour), -0.5), canvas.shape), 0)
    paint(canvas, Sheet(shapes, relief=0, grain=0.05), rng)


def barn(rng, size):
    """Upright boards above straw."""
    height, width = size
    canvas = np.broadcast_to(rgb("3a2c26"), (*size, 3)).copy()
    colour = rgb(pick(rng, ["9a5b34", "8b3f36", "7d8288", "a79c90"]))
    board, shapes = rng.uniform(12, 24), []
    for x in np.arange(-5, width, board):
        outline = np.array([(x, -5), (x + board - 1.5, -5), (x + board - 1.5, height), (x, height)])
        shapes.append((outline, tone(colour, rng.uniform(-0.2, 0.15))))
    paint(canvas, Sheet(shapes, relief=0, grain=0.07), rng)
    top = rng.uniform(0.55, 0.75)
    ground(canvas, rng, top, wash(rng, size, "b8944f", "d9bd7c", 12), 0.03)
    strokes(
        canvas, rng, ["d9b98c", "c29b4f", "e8d49a", "9a7a3f"], 350, top, 0.09, lean=1.5, width=2
    )
    return canvas


PLACES = [meadow, beach, street, forest, autumn, winter, room, barn]


def foreground(rng: np.random.Generator, size: Size) -> list[Sheet]:
    """Something that stands in front of all else: a tuft, a bush, a post or a boulder."""
    height, width = size
    x = rng.uniform(0.1, 0.9) * width
    kind = rng.integers(4)
    if kind == 0:
        return [_tuft(rng, x, height, rng.uniform(0.15, 0.3) * height)]
    if kind == 1:
        return [_bush(rng, x, height, rng.uniform(0.12, 0.2) * width)]
    if kind == 2:
        return _fence(rng, size)
    return [boulder(rng, size)]


def _tuft(rng, x: float, foot: float, length: float) -> Sheet:
    colours = [rgb(code) for code in ("587a38", "86a04c", "b4a95a", "9a7a3f")]
    shapes = []
    for _ in range(28):
        base = np.array([x + rng.normal(0, 0.35) * length, foot + 4])
        tip = base + xy(rng.normal(0, 0.35) * length, -rng.uniform(0.5, 1.1) * length)
        shapes.append(
            (limb([base, (base + tip) / 2 + xy(2, 0), tip], [4, 3, 0.6]), pick(rng, colours))
        )
    return Sheet(shapes, relief=0.2)


def _bush(rng, x: float, foot: float, radius: float) -> Sheet:
    greens = [rgb(code) for code in ("3f6244", "5d8050", "7f9a5b", "4c6b3c")]
    shapes = []
    for _ in range(70):
        reach = radius * np.sqrt(rng.random())
        angle = rng.uniform(0, 2 * np.pi)
        leaf = ellipse(
            x + 1.3 * reach * np.cos(angle),
            foot - 4 + reach * np.sin(angle),
            6,
            3.2,
            rng.uniform(0, 3),
        )
        shapes.append((leaf, pick(rng, greens)))
    return Sheet(shapes, relief=0.4)


def _fence(rng, size: Size) -> list[Sheet]:
    """A post with one rail."""
    height, width = size
    wood = pick(rng, COATS)
    x, rail = rng.uniform(0.1, 0.9) * width, rng.uniform(0.75, 0.9) * height
    thick = 0.04 * height
    post = limb([(x, rail - 4 * thick), (x, rail), (x + 1, height + 9)], [1.5 * thick] * 3)
    beam = limb([(-9, rail), (width / 2, rail + rng.normal(0, 2)), (width + 9, rail)], [thick] * 3)
    return [Sheet([(beam, tone(wood, -0.1))], relief=0.6), Sheet([(post, wood)], relief=0.6)]
