"""Five animals and people, as sheets of paper.

All animals share one body, its poses, its coats and its markings; only the head tells the class.
People wear clothes of the same colours. So a classifier must look at heads, and what finds the
rest is that a body is one piece of similar colour.

A character stands on y = 0 at x = 0, is about 1 high and faces right.
"""

from dataclasses import dataclass

import numpy as np

from psa_core.datasets.scenes import heads
from psa_core.datasets.scenes.paper import (
    Shape,
    Sheet,
    blob,
    ellipse,
    limb,
    pick,
    rgb,
    rotation,
    tone,
    xy,
)

COATS = [
    rgb("efe6d6"),  # cream
    rgb("d9b98c"),  # sand
    rgb("c98a4b"),  # ginger
    rgb("9a5b34"),  # chestnut
    rgb("6b4630"),  # chocolate
    rgb("a79c90"),  # stone
    rgb("7d8288"),  # slate
    rgb("4a474b"),  # charcoal
]
SKINS = [rgb(code) for code in ("f4cfae", "e3ab7f", "b97a50", "7a4a30")]
HAIRS = [rgb(code) for code in ("2b2024", "5a3622", "a8622c", "dcb25e")]

Joints = tuple[np.ndarray, np.ndarray, np.ndarray]  # hip or shoulder, knee or elbow, foot or hand


@dataclass(frozen=True)
class Pose:
    """Where an animal's joints are. legs: far hind, far fore, near hind, near fore."""

    hip: np.ndarray
    chest: np.ndarray
    head: np.ndarray
    legs: list[Joints]


def draw(name: str, rng: np.random.Generator) -> list[Sheet]:
    """Sheets of a new character of that class, the farthest first."""
    return person(rng) if name == "person" else animal(name, rng)


def animal(name: str, rng: np.random.Generator) -> list[Sheet]:
    """The body that all animals share, with the head of that class."""
    coat = pick(rng, COATS) + rng.normal(0, 0.02, 3)
    pose = pick(rng, [_standing, _standing, _standing, _sitting, _lying])(rng)
    stoutness = rng.uniform(0.9, 1.2)

    behind = [(_tail(pose.hip, rng), tone(coat, -0.12))]
    for joints in pose.legs[:2]:
        behind += _leg(joints, stoutness, tone(coat, -0.22))
    body = [*_trunk(pose, stoutness, coat, rng), *_markings(pose, coat, rng)]
    for joints in pose.legs[2:]:
        body += _leg(joints, stoutness, tone(coat, -0.05))
    head = heads.ANIMALS[name](coat)
    radius, tilt = 0.23 * rng.uniform(0.95, 1.15), rng.uniform(-0.3, 0.3)
    return [Sheet(behind), Sheet(body, relief=0.9), _head(head, pose.head, radius, tilt)]


def person(rng: np.random.Generator) -> list[Sheet]:
    """Somebody standing, walking or sitting, the arms anywhere."""
    coat, trousers, skin = pick(rng, COATS), pick(rng, COATS), pick(rng, SKINS)
    sits = rng.random() < 0.33
    hip = xy(0, -0.14 if sits else rng.uniform(-0.42, -0.36))
    neck = hip + xy(rng.normal(0, 0.05), -0.45)
    hem = hip + xy(0, 0.04 if sits else rng.uniform(0.04, 0.16))

    behind = []
    for side, shade in ((-1, -0.12), (1, 0)):
        joints = _sitting_leg(hip, side) if sits else _standing_leg(hip, side, rng)
        trouser = limb(joints, [0.2, 0.17, 0.14])
        behind += [
            (ellipse(*joints[2], 0.09, 0.08), tone(trousers, -0.5)),
            (trouser, tone(trousers, shade)),
        ]
    behind += _arm(neck, -1, tone(coat, -0.15), skin, rng)
    front = [(_torso(neck, hem), coat), *_arm(neck, 1, tone(coat, -0.06), skin, rng)]
    head = heads.person_head(skin, pick(rng, HAIRS), long=rng.random() < 0.5)
    tilt = rng.uniform(-0.2, 0.2)
    return [Sheet(behind), Sheet(front, relief=0.8), _head(head, neck + xy(0, -0.17), 0.185, tilt)]


def _head(shapes: list[Shape], at: np.ndarray, radius: float, tilt: float) -> Sheet:
    sheet = Sheet(shapes, relief=0.5, grain=0.03, is_head=True)
    return sheet.transformed(rotation(tilt) * radius, at)


def _standing(rng: np.random.Generator) -> Pose:
    height = rng.uniform(0.42, 0.58)
    hip, chest = xy(-0.36, -height), xy(0.3, -height + rng.uniform(-0.08, 0.06))
    legs = []
    for ahead, floor in ((0.12, -0.02), (-0.04, 0)):  # the far legs, the near ones
        for top in (hip, chest):
            foot = xy(top[0] + ahead + rng.normal(0, 0.09), floor)
            knee = (top + foot) / 2 + xy(rng.normal(0, 0.04), 0)
            legs.append((top + xy(0, 0.08), knee, foot))
    raised = rng.uniform(0.35, 1.35)
    head = chest + 0.46 * xy(np.cos(raised), -np.sin(raised)) + xy(0.04, -0.04)
    return Pose(hip, chest, head, legs)


def _sitting(rng: np.random.Generator) -> Pose:
    hip, chest = xy(-0.3, -0.22), xy(0.1, -0.62 + rng.normal(0, 0.03))
    legs = []
    for ahead in (0.12, 0.02):
        haunch = xy(-0.25 + ahead, -0.2)
        legs.append((haunch, haunch + xy(0.1, 0.1), haunch + xy(0.3, 0.18)))
        knee, foot = chest + xy(0.12 + ahead, 0.32), chest + xy(0.1 + ahead, 0.62)
        legs.append((chest + xy(0.04, 0.1), knee, foot))
    return Pose(hip, chest, chest + xy(rng.uniform(0.1, 0.2), -0.36), legs)


def _lying(rng: np.random.Generator) -> Pose:
    hip, chest = xy(-0.38, -0.2), xy(0.28, -0.24)
    legs = []
    for floor in (-0.05, 0):
        for top in (hip, chest):
            foot = xy(top[0] + rng.uniform(0.28, 0.36), floor)
            legs.append((top + xy(0.04, 0.08), top + xy(0.16, 0.17), foot))
    return Pose(hip, chest, chest + xy(rng.uniform(0.12, 0.25), -0.34), legs)


def _trunk(pose: Pose, stoutness: float, coat: np.ndarray, rng: np.random.Generator) -> list[Shape]:
    """Torso and neck."""
    belly = (pose.hip + pose.chest) / 2 + xy(0, rng.uniform(-0.02, 0.05))
    torso = limb([pose.hip, belly, pose.chest], np.array([0.37, 0.38, 0.38]) * stoutness)
    base = pose.chest + xy(0.02, -0.04)
    neck = limb([base, (base + pose.head) / 2, pose.head], [0.32, 0.26, 0.22])
    return [(torso, coat), (neck, coat)]


def _markings(pose: Pose, coat: np.ndarray, rng: np.random.Generator) -> list[Shape]:
    """On half of the animals: up to three patches within the torso."""
    shade = tone(coat, 0.45 if coat.mean() < 0.5 else -0.3)
    shapes = []
    for _ in range(max(0, rng.integers(-2, 4))):
        x, y = pose.hip + rng.uniform(0, 0.9) * (pose.chest - pose.hip)
        rx, ry = rng.uniform(0.07, 0.13, 2)
        shapes.append((ellipse(x, y - 0.03, rx, ry, rng.uniform(0, np.pi)), shade))
    return shapes


def _tail(hip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    root, lift = hip + xy(-0.14, -0.08), rng.uniform(-0.25, 0.35)
    joints = [root, root + xy(-0.16, 0.1 - lift), root + xy(-0.24, 0.3 - 1.6 * lift)]
    return limb(joints, [0.1, 0.08, 0.07])


def _leg(joints: Joints, stoutness: float, shade: np.ndarray) -> list[Shape]:
    x, y = joints[2]
    hoof = ellipse(x + 0.03, y - 0.03, 0.09, 0.055)
    return [
        (limb(joints, np.array([0.21, 0.14, 0.12]) * stoutness), shade),
        (hoof, tone(shade, -0.4)),
    ]


def _standing_leg(hip: np.ndarray, side: int, rng: np.random.Generator) -> Joints:
    foot = xy(side * rng.uniform(0.06, 0.22), -0.03)
    return hip + xy(side * 0.06, 0), (hip + foot) / 2 + xy(0.04, 0), foot


def _sitting_leg(hip: np.ndarray, side: int) -> Joints:
    knee = hip + xy(0.16 - 0.06 * side, -0.06 + 0.04 * side)
    return hip, knee, xy(0.34 - 0.12 * side, -0.08 + 0.07 * side)


def _arm(neck: np.ndarray, side: int, cloth, skin, rng: np.random.Generator) -> list[Shape]:
    lowered = rng.uniform(-0.7, 1.3)  # angle below the horizontal
    reach = xy(side * np.cos(lowered), np.sin(lowered))
    shoulder = neck + xy(side * 0.14, 0.08)
    hand = shoulder + 0.34 * reach
    sleeve = limb([shoulder, shoulder + 0.17 * reach + xy(0, 0.03), hand], [0.15, 0.13, 0.11])
    return [(ellipse(*hand, 0.07, 0.063), skin), (sleeve, cloth)]


def _torso(neck: np.ndarray, hem: np.ndarray) -> np.ndarray:
    """Outline of a coat, sloping from the shoulders to its hem."""
    right = [neck + xy(0.12, -0.03), neck + xy(0.22, 0.12), hem + xy(0.24, 0.02)]
    left = [hem + xy(-0.24, 0.02), neck + xy(-0.22, 0.12), neck + xy(-0.12, -0.03)]
    return blob(*right, *left)
