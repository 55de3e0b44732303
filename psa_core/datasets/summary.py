"""What a data set holds: counts of images, masks and classes, and what looks suspicious."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import takewhile

import numpy as np
import pandas as pd

from psa_core.datasets.formats.source import DatasetError
from psa_core.datasets.index import ImageRow
from psa_core.runtime.artifacts import IGNORE

COLUMNS = ["list", "what", "images"]
SUSPICIONS_SHOWN = 3


def values_of(mask: np.ndarray) -> str:
    """The class indices of a mask uint8 [H, W], for example "0;2;255"."""
    return ";".join(map(str, np.unique(mask).tolist()))


def summarise(
    images: Mapping[str, Sequence[ImageRow]],
    masks: Mapping[str, Sequence[int]],
    names: Sequence[str],
    doubts: Sequence[str] = (),
) -> tuple[pd.DataFrame, list[str]]:
    """Counts of images, and suspicious facts, the worst first.

    images: the rows of each list. masks: by image id, the indices of its mask, 0 and 255 included.
    names: of the classes. doubts: facts about the labels that the plan knows.
    Returns a table with the columns `list`, `what` (images, with mask, a size, a class) and
    `images`, their number; and the facts, one sentence each.
    Raises DatasetError where the masks as a whole cannot be those of the labels.
    """
    every = [row for rows in images.values() for row in rows]
    suspicions = [*_check_masks(every, masks, names), *doubts]
    suspicions += [*_few(images, names), *_same(every)]
    counts = []
    for part, rows in images.items():
        counts.append((part, "images", len(rows)))
        counts.append((part, "with mask", sum(row.image in masks for row in rows)))
        counts.append((part, "without class", sum(not row.labels for row in rows)))
        of_class = Counter(name for row in rows for name in row.labels)
        counts += [(part, f"class {name}", of_class[name]) for name in names]
        sides = sorted(max(row.height, row.width) for row in rows)
        for what, at in (("least", 0), ("median", len(sides) // 2), ("greatest", -1)):
            counts += [(part, f"{what} longest side", sides[at])] if sides else []
    return pd.DataFrame(counts, columns=COLUMNS), suspicions


def _check_masks(
    rows: Sequence[ImageRow], masks: Mapping[str, Sequence[int]], names: Sequence[str]
) -> list[str]:
    scored = [row for row in rows if row.image in masks]
    objects = {row.image: set(masks[row.image]) - {0, IGNORE} for row in scored}
    ignored = [row.image for row in scored if not objects[row.image] and IGNORE in masks[row.image]]
    if ignored and not any(objects.values()):
        raise DatasetError(
            f"none of {len(scored)} masks shows a class, but {len(ignored)} hold 255, the first is "
            f"that of {ignored[0]}: 255 is an ignored pixel; write the index of the class, 1 to "
            f"{len(names)}, or set dataset.mask_values: {{255: {names[0]}}} (format folder)"
        )
    found = (
        [f"in {_of(ignored, scored)} no value but 0 and 255, which is ignored"] if ignored else []
    )
    wrong = [row for row in scored if objects[row.image] - set(row.classes)]
    if wrong:
        first = wrong[0]
        shown = ", ".join(names[i - 1] for i in sorted(objects[first.image] - set(first.classes)))
        fact = (
            f"in {_of([row.image for row in wrong], scored)} a class is not among the image's "
            f"labels ({shown}; its labels: {', '.join(first.labels) or 'none'})"
        )
        if 2 * len(wrong) > len(scored):
            listed = ", ".join(f"{i} {name}" for i, name in enumerate(names, start=1))
            raise DatasetError(
                f"{fact}: the masks must hold the indices {listed}; bring dataset.classes or "
                "classes.txt into their order, or write them again"
            )
        found.insert(0, fact)
    return found


def _of(images: Sequence[str], scored: Sequence[ImageRow]) -> str:
    return f"{len(images)} of {len(scored)} masks, the first that of {images[0]},"


def _few(images: Mapping[str, Sequence[ImageRow]], names: Sequence[str]) -> list[str]:
    """Classes that too few training images show, and one class that all of them show."""
    rows = images.get("train_aug", [])
    of_class = Counter(name for row in rows for name in row.labels)
    found = [
        f"every training image shows {name}, so there is nothing to tell it from: add images "
        "without a class (dataset.negatives)"
        for name in names
        if rows and of_class[name] == len(rows)
    ]
    common = [name for name in names if of_class[name] >= 10]
    few = []
    for name in (name for name in names if of_class[name] < 10):
        meant = next((other for other in common if _is_misspelled(name, other)), None)
        few.append(f"{name} ({of_class[name]}{f'; is it {meant}?' if meant else ''})")
    if few:
        found.append(f"fewer than 10 training images show {', '.join(few)}")
    return found


def _is_misspelled(name: str, other: str) -> bool:
    """Whether two names differ in a plural s, or in one letter of a word of at least five."""
    if name in (f"{other}s", f"{other}S") or other in (f"{name}s", f"{name}S"):
        return True
    start = _equal(name, other)
    end = _equal(name[start:][::-1], other[start:][::-1])
    rests = name[start : len(name) - end], other[start : len(other) - end]
    is_one_letter = max(map(len, rests)) == 1 or (rests[0] == rests[1][::-1] and len(rests[0]) == 2)
    if not is_one_letter or not "".join(rests).isalpha():
        return False
    words = [
        re.split(r"[\W_]", text[:start])[-1] + re.split(r"[\W_]", text[start:])[0]
        for text in (name, other)
    ]
    return max(map(len, words)) >= 5


def _equal(name: str, other: str) -> int:
    """The number of letters with which both begin."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(name, other, strict=False))))


def _same(rows: Sequence[ImageRow]) -> list[str]:
    """Images that are the same file twice."""
    first: dict[str, ImageRow] = {}
    pairs = [(first[r.sha256], r) for r in rows if first.setdefault(r.sha256, r) is not r]
    if not pairs:
        return []
    one, other = pairs[0]
    return [f"{len(pairs)} images are copies of others, the first is {other.image} of {one.image}"]
