"""Heads: what tells the classes apart, so each has the same marks in every scene.

A head is drawn about (0, 0), its face about 1 in radius; the later shapes lie on top. All face the
viewer but the horse, which looks to the right.
"""

import numpy as np

from psa_core.datasets.scenes.paper import Shape, blob, ellipse, limb, rgb, tone

INK, WHITE, PINK = rgb("2a2328"), rgb("fbf7ef"), rgb("e59a94")


def cat_head(coat: np.ndarray) -> list[Shape]:
    """Pointed ears, green eyes, stripes on the forehead, whiskers."""
    dark = tone(coat, -0.4)
    ear = np.array([(0.95, -0.1), (0.98, -1.3), (0.12, -0.7)])
    inner = np.array([(0.83, -0.5), (0.85, -1.05), (0.42, -0.72)])
    iris = rgb("b7c94c")
    stripes = [
        limb([(x, -0.78), (x * 0.9, -0.6), (x * 0.6, -0.42)], [0.13, 0.12, 0.05])
        for x in (-0.28, 0, 0.28)
    ]
    whiskers = [
        (limb([(0.3, y), (0.75, y + slope), (1.2, y + 2 * slope)], [0.06, 0.05, 0.03]), WHITE)
        for y, slope in ((0.3, -0.06), (0.42, 0.05))
    ]
    return [
        *_both_sides((ear, coat), (inner, PINK)),
        (
            blob(
                (-1.1, 0.1),
                (-0.85, -0.75),
                (0, -0.9),
                (0.85, -0.75),
                (1.1, 0.1),
                (0.6, 0.85),
                (-0.6, 0.85),
            ),
            coat,
        ),
        *[(stripe, dark) for stripe in stripes],
        *_both_sides(
            (ellipse(0.42, -0.08, 0.26, 0.26), iris), (ellipse(0.42, -0.08, 0.09, 0.24), INK)
        ),
        *_both_sides((ellipse(0.2, 0.4, 0.28, 0.24), tone(coat, 0.75)), *whiskers),
        (np.array([(-0.16, 0.18), (0.16, 0.18), (0, 0.38)]), rgb("d8616b")),
    ]


def dog_head(coat: np.ndarray) -> list[Shape]:
    """Hanging ears, a pale muzzle with a big black nose, the tongue out."""
    ear = blob((0.5, -0.85), (0.95, -0.75), (1.35, 0.0), (1.25, 0.75), (0.9, 0.8), (0.7, 0.0))
    return [
        (ellipse(0, -0.05, 0.85, 0.85), coat),
        (limb([(0, 0.5), (0.03, 0.8), (0.05, 1.05)], [0.3, 0.36, 0.34]), rgb("e0626e")),
        (ellipse(0, 0.35, 0.6, 0.5), rgb("f4e8d4")),
        *_both_sides((ear, rgb("4f3226"))),
        (ellipse(0, 0.1, 0.28, 0.2), INK),
        (limb([(0, 0.25), (0, 0.4), (0, 0.55)], [0.08, 0.07, 0.07]), INK),
        *_eyes(0.38, -0.3, 0.17),
    ]


def cow_head(coat: np.ndarray) -> list[Shape]:
    """Horns, ears to the sides, a white blaze, a broad pink muzzle with nostrils."""
    horn = blob((0.3, -0.7), (0.75, -0.85), (0.8, -1.45), (1.1, -1.0), (0.95, -0.5), (0.4, -0.4))
    ear = blob((0.55, -0.5), (1.2, -0.65), (1.55, -0.2), (1.1, -0.05), (0.6, -0.15))
    return [
        *_both_sides((ear, tone(coat, -0.3)), (horn, rgb("f2e2b8"))),
        (
            blob((-0.85, -0.8), (0.85, -0.8), (0.75, 0.3), (0.55, 1.0), (-0.55, 1.0), (-0.75, 0.3)),
            coat,
        ),
        (blob((-0.3, -0.85), (0.3, -0.85), (0.15, 0), (0.3, 0.8), (-0.3, 0.8), (-0.15, 0)), WHITE),
        (ellipse(0, 0.72, 0.72, 0.42), rgb("ee9d98")),
        *_both_sides((ellipse(0.3, 0.66, 0.12, 0.16, 0.4), rgb("8a3f48"))),
        *_eyes(0.5, -0.2, 0.16),
    ]


def horse_head(coat: np.ndarray) -> list[Shape]:
    """A long head in profile with upright ears, a flowing mane and a white blaze."""
    mane_colour = rgb("2e2326") if coat.mean() > 0.4 else rgb("ecd9ae")
    mane = [
        (ellipse(x, y, 0.42, 0.27, 1.0), tone(mane_colour, shade))
        for x, y, shade in (
            (-1.0, 1.35, 0),
            (-1.05, 0.95, 0.1),
            (-1.0, 0.5, 0),
            (-0.85, 0.05, 0.1),
            (-0.65, -0.4, 0),
        )
    ]
    profile = blob(
        (-0.75, -0.75), (0.0, -0.95), (0.5, -0.35), (1.25, 0.5), (1.45, 1.0), (0.95, 1.3),
        (0.35, 0.85), (-0.1, 0.85), (-0.6, 0.9), (-0.9, 0.1),
    )  # fmt: skip
    return [
        (blob((-0.1, -0.6), (0.0, -1.3), (0.2, -1.5), (0.3, -0.6)), tone(coat, -0.3)),
        (profile, coat),
        (blob((0.1, -0.75), (0.4, -0.55), (1.25, 0.5), (1.0, 0.5), (0.35, -0.2)), WHITE),
        (ellipse(1.08, 0.9, 0.36, 0.3, 0.8), tone(coat, -0.45)),
        (ellipse(1.22, 0.8, 0.09, 0.13, 0.5), INK),
        *mane,
        (blob((-0.5, -0.5), (-0.4, -1.3), (-0.25, -1.5), (-0.02, -0.7)), coat),
        (blob((-0.5, -0.95), (0.0, -1.0), (0.35, -0.5), (0.15, -0.35), (-0.3, -0.6)), mane_colour),
        (ellipse(0.12, -0.1, 0.16, 0.19), INK),
        (ellipse(0.07, -0.17, 0.06, 0.06), WHITE),
    ]


def sheep_head(coat: np.ndarray) -> list[Shape]:
    """A narrow black face with drooping ears under a cap of curls."""
    face, curl = rgb("332d33"), tone(coat, 0.55)
    ear = blob((0.4, -0.35), (0.9, -0.35), (1.35, 0.15), (1.1, 0.3), (0.5, 0.0))
    around = [(np.cos(a), np.sin(a)) for a in np.linspace(-np.pi - 0.35, 0.35, 8)]
    return [
        *[
            (ellipse(0.72 * x, 0.62 * y - 0.42, radius, radius), shade)
            for x, y in around
            for radius, shade in ((0.38, tone(curl, -0.2)), (0.3, curl))
        ],
        *_both_sides((ear, tone(face, 0.12))),
        (blob((-0.65, -0.5), (0.65, -0.5), (0.6, 0.4), (0.3, 1.1), (-0.3, 1.1), (-0.6, 0.4)), face),
        *[
            (ellipse(x, -0.6, radius, radius * 0.9), shade)
            for x in (-0.42, 0.42, 0)
            for radius, shade in ((0.33, tone(curl, -0.2)), (0.26, tone(curl, 0.3)))
        ],
        *_both_sides(
            (ellipse(0.3, -0.08, 0.18, 0.2), WHITE), (ellipse(0.27, -0.05, 0.09, 0.11), INK)
        ),
        *_both_sides((limb([(0.02, 0.72), (0.1, 0.66), (0.17, 0.56)], [0.08, 0.08, 0.06]), PINK)),
    ]


def person_head(skin: np.ndarray, hair: np.ndarray, long: bool) -> list[Shape]:
    """A smiling face, long or short hair."""
    cap = ellipse(0, -0.25, 1.02, 0.95)
    lock = limb([(0.75, -0.6), (1.0, 0.2), (0.95, 0.95)], [0.5, 0.5, 0.4])
    ear = ellipse(0.9, 0.1, 0.18, 0.22)
    fringe = blob(
        (-1.0, -0.1), (-0.95, -0.95), (0, -1.3), (0.95, -0.95),
        (1.0, -0.1), (0.6, -0.55), (-0.2, -0.5),
    )  # fmt: skip
    return [
        (cap, hair),
        *_both_sides((lock, hair) if long else (ear, tone(skin, -0.1))),
        (ellipse(0, 0.08, 0.88, 0.95), skin),
        (fringe, hair),
        *_both_sides((ellipse(0.52, 0.38, 0.2, 0.16), 0.6 * skin + 0.4 * PINK)),
        *_eyes(0.34, 0.1, 0.13),
        (limb([(-0.3, 0.5), (0, 0.66), (0.3, 0.5)], [0.09, 0.11, 0.09]), rgb("9c3b3b")),
    ]


# Of the animals, by class; each takes the colour of the coat.
ANIMALS = {
    "cat": cat_head,
    "cow": cow_head,
    "dog": dog_head,
    "horse": horse_head,
    "sheep": sheep_head,
}


def _both_sides(*shapes: Shape) -> list[Shape]:
    """Shapes and their mirror images in x = 0."""
    return [
        copy
        for outline, colour in shapes
        for copy in ((outline, colour), (outline * (-1, 1), colour))
    ]


def _eyes(x: float, y: float, radius: float) -> list[Shape]:
    """Two black eyes at x and -x, each with a glint at the upper left."""
    glints = [
        (ellipse(centre - 0.3 * radius, y - 0.4 * radius, 0.35 * radius, 0.35 * radius), WHITE)
        for centre in (x, -x)
    ]
    return [*_both_sides((ellipse(x, y, radius, radius * 1.15), INK)), *glints]
