"""Scenes, drawn and written in the layout of VOC 2012.

A scene is a function of the seed and its own number: asking for more scenes, or for other
scenes, changes none of them.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image
from scipy import ndimage

from psa_core import artifacts
from psa_core.artifacts import IGNORE
from psa_core.datasets.scenes import CLASSES, backgrounds, characters, image_names
from psa_core.datasets.scenes.paper import Sheet, noise, paint, pick, rotation, silhouette
from psa_core.datasets.voc import CLASSES as VOC_CLASSES

MIN_PIXELS = 250  # of each object, in the mask


@dataclass(frozen=True)
class Scene:
    """image: uint8 [H, W, 3]. mask: uint8 [H, W] of VOC class indices, 0 background, 255 border.

    instances: uint8 [H, W], i + 1 where objects[i] (a class name) is seen, 0 elsewhere.
    """

    image: np.ndarray
    mask: np.ndarray
    instances: np.ndarray
    objects: list[str]


def generate(
    root: Path,
    *,
    train: int,
    val: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the scenes under root, as VOC 2012 does.

    That is JPEGImages/{name}.jpg, SegmentationClass/{name}.png, Annotations/{name}.xml and
    ImageSets/Segmentation/{split}.txt. progress is called with (scenes done, scenes to do).
    """
    splits = image_names(train, val)
    folders = ("JPEGImages", "SegmentationClass", "Annotations", "ImageSets/Segmentation")
    images, masks, annotations, lists = (root / folder for folder in folders)
    for folder in (images, masks, annotations, lists):
        folder.mkdir(parents=True, exist_ok=True)
    names = splits["train"] + splits["val"]
    for done, name in enumerate(names, start=1):
        scene = draw_scene(int(name.removeprefix("scene_")), seed)
        Image.fromarray(scene.image).save(images / f"{name}.jpg", quality=90)
        artifacts.write_label_map(masks / f"{name}.png", scene.mask)
        (annotations / f"{name}.xml").write_text(annotation(name, scene))
        if progress:
            progress(done, len(names))
    for split, members in splits.items():
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in members))


def draw_scene(number: int, seed: int) -> Scene:
    """Scene of that number: a backdrop, one to three characters, sometimes a thing before them."""
    rng = np.random.default_rng([seed, number])
    size = _size(rng)
    layers, instances = _arrange(rng, size, _cast(rng, number))
    mask = _with_border(instances, [VOC_CLASSES.index(name) + 1 for name, _ in layers if name])

    canvas = backgrounds.backdrop(rng, size)
    for name, sheets in layers:
        if name:
            _contact_shadow(canvas, sheets)
        for sheet in sheets:
            paint(canvas, sheet, rng)
    image = (_photograph(canvas, rng) * 255).round().astype(np.uint8)
    return Scene(image, mask, instances, [name for name, _ in layers if name])


def annotation(name: str, scene: Scene) -> str:
    """The scene's objects as VOC's XML; boxes are of what is seen, from 1, both ends inclusive."""
    height, width = scene.mask.shape
    root = ElementTree.Element("annotation")

    def add(parent, **values):
        for tag, value in values.items():
            ElementTree.SubElement(parent, tag).text = str(value)

    add(root, folder="scenes", filename=f"{name}.jpg")
    add(ElementTree.SubElement(root, "size"), width=width, height=height, depth=3)
    add(root, segmented=1)
    for label, box in zip(scene.objects, ndimage.find_objects(scene.instances), strict=True):
        (top, bottom), (left, right) = ((side.start, side.stop) for side in box)
        truncated = int(top == 0 or left == 0 or bottom == height or right == width)
        item = ElementTree.SubElement(root, "object")
        add(item, name=label, pose="Unspecified", truncated=truncated, difficult=0)
        corners = ElementTree.SubElement(item, "bndbox")
        add(corners, xmin=left + 1, ymin=top + 1, xmax=right, ymax=bottom)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _size(rng: np.random.Generator) -> tuple[int, int]:
    """Height and width, landscape or portrait."""
    longer, shorter = int(rng.integers(176, 193)), int(rng.integers(160, 176))
    return (shorter, longer) if rng.random() < 0.6 else (longer, shorter)


def _cast(rng: np.random.Generator, number: int) -> list[str]:
    """Classes of one to three characters; the first by turns, so that all are as frequent."""
    first = CLASSES[number % len(CLASSES)]
    others = rng.choice([0, 1, 2], p=[0.35, 0.4, 0.25])
    return [first] + [first if rng.random() < 0.25 else pick(rng, CLASSES) for _ in range(others)]


def _arrange(rng, size, names):
    """Place the characters, and perhaps a thing in front, until enough is seen of each.

    Returns layers [(class name or None, sheets)], farthest first, and instances uint8 [H, W].
    """
    for attempt in itertools.count(1):
        if attempt % 12 == 0:
            names = names[: max(1, len(names) - 1)]
        layers = [
            (name, _place(characters.draw(name, rng), rng, size, len(names))) for name in names
        ]
        layers.sort(key=lambda layer: _extent(layer[1])[1][1])  # who stands lower is nearer
        if rng.random() < 0.4:
            layers.append((None, backgrounds.foreground(rng, size)))
        instances = np.zeros(size, np.uint8)
        for index, (name, sheets) in enumerate(layers, start=1):
            instances[silhouette(sheets, size)] = index if name else 0
        cast = [sheets for name, sheets in layers if name]
        if all(is_seen(sheets, instances, i) for i, sheets in enumerate(cast, start=1)):
            return layers, instances


def _place(sheets: list[Sheet], rng, size, crowd: int) -> list[Sheet]:
    """The character on the ground: a third of the image's side or more, leaning, maybe mirrored."""
    lean = rng.normal(0, 0.5 if rng.random() < 0.1 else 0.1)
    matrix = rotation(lean) * (rng.choice([-1, 1]), 1)
    low, high = _extent([sheet.transformed(matrix, np.zeros(2)) for sheet in sheets])
    share = rng.uniform(0.5, 0.95) if crowd == 1 else rng.uniform(0.32, 0.8)
    scale = share * min(size) / (high - low).max()
    feet = np.array([(low + high)[0] / 2, high[1]])
    ground = rng.uniform((0.1, 0.65 + 0.2 * share), (0.9, 0.95 + 0.2 * share)) * size[::-1]
    return [sheet.transformed(matrix * scale, ground - scale * feet) for sheet in sheets]


def _extent(sheets: list[Sheet]) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest (x, y) of the sheets."""
    points = np.concatenate([outline for sheet in sheets for outline, _ in sheet.shapes])
    return points.min(0), points.max(0)


def is_seen(sheets: list[Sheet], instances: np.ndarray, index: int) -> bool:
    """Whether nearly all of the head, and half of the whole, are neither hidden nor cut off."""
    height, width = instances.shape
    visible = instances == index
    if np.count_nonzero(visible & ~_border(instances)) < MIN_PIXELS:
        return False
    head = [sheet for sheet in sheets if sheet.is_head]
    for part, share in ((head, 0.85), (sheets, 0.5)):
        # A canvas three times as large also holds what the image's border cuts off.
        moved = [sheet.transformed(np.eye(2), np.array([width, height])) for sheet in part]
        whole = silhouette(moved, (3 * height, 3 * width))
        seen = whole[height : 2 * height, width : 2 * width] & visible
        if np.count_nonzero(seen) < share * np.count_nonzero(whole):
            return False
    return True


def _border(instances: np.ndarray) -> np.ndarray:
    """Bool [H, W]: pixels beside another instance or the background, on both sides of the edge."""
    border = np.zeros(instances.shape, bool)
    across, down = instances[:, 1:] != instances[:, :-1], instances[1:] != instances[:-1]
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= down
    border[:-1] |= down
    return border


def _with_border(instances: np.ndarray, labels: list[int]) -> np.ndarray:
    mask = np.array([0, *labels], np.uint8)[instances]
    mask[_border(instances)] = IGNORE
    return mask


def _contact_shadow(canvas: np.ndarray, sheets: list[Sheet]) -> None:
    """Darken the ground at a character's feet, in place."""
    low, high = _extent(sheets)
    radius = 0.45 * (high - low)[0]
    y, x = np.ogrid[: canvas.shape[0], : canvas.shape[1]]
    across = (x - (low + high)[0] / 2 - 3) / radius
    down = (y - high[1]) / (0.22 * radius)
    canvas *= (1 - 0.4 * np.exp(-1.5 * (across**2 + down**2)))[..., None]


def _photograph(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light, shade, colour cast, blur and noise; float32 [H, W, 3] in [0, 1]."""
    height, width = size = canvas.shape[:2]
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    direction = rng.normal(0, 0.12, 2)
    light = 1 + direction[0] * x + direction[1] * y - 0.08 * (x**2 + y**2)
    if rng.random() < 0.35:  # under a tree
        light *= 1 - 0.35 / (1 + np.exp(-3 * noise(rng, size, rng.uniform(40, 80))))
    cast = rng.normal(1, 0.04, 3)
    photo = np.clip(canvas * (light[..., None] * cast).astype(np.float32), 0, 1)
    photo **= rng.uniform(0.7, 1.15)
    photo = ndimage.gaussian_filter(photo, rng.uniform(0.2, 0.6), axes=(0, 1))
    photo += rng.uniform(0.005, 0.02) * rng.standard_normal(photo.shape, np.float32)
    return np.clip(photo, 0, 1)
