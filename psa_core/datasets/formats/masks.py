"""Masks of the format `folder`: where they are, and what their values or colours mean.

    masks/cats/tom.png    of the image cats/tom.jpg; values 0 background, 1..C, 255 ignore
    labelmap.txt          optional: colours of the classes, as CVAT writes it; in masks/, in the
                          folder that holds masks/, or in the root

Masks may be CVAT's export as it is unpacked: labelmap.txt and SegmentationClass/ in masks/.
"""

from collections.abc import Sequence
from pathlib import Path

from psa_core.datasets.formats.labels.names import alike, composed
from psa_core.datasets.formats.source import (
    IGNORE,
    IMAGE_SUFFIXES,
    Coding,
    choose_masks,
    did_you_mean,
    read_text,
    resolve,
    root_of,
    scan,
)

LABELMAP = "labelmap.txt"
OF_CVAT = "SegmentationClass"
BACKGROUND, IGNORED = ("background",), ("ignore", "ignored", "void")


def find_masks(
    dataset: dict, names: Sequence[str], stems: dict[str, str], problems: list[str]
) -> tuple[dict[str, str], Coding]:
    """Path of the mask by image id, and what the masks' values mean, as in `Source`.

    names: the classes. stems: name of the image without suffix, by image id.
    """
    root = root_of(dataset)
    folder = resolve(root, dataset.get("masks"), "masks")
    if not folder.is_dir():
        if dataset.get("masks"):
            problems.append(f"{folder}: no such folder: correct dataset.masks")
        return {}, plain_coding(names)
    labelmap = find_labelmap(folder, folder.parent, root)
    if (folder / OF_CVAT).is_dir():
        folder /= OF_CVAT
    found = scan(folder, stems.values(), IMAGE_SUFFIXES)
    masks = choose_masks(
        folder, {image: found[stem] for image, stem in stems.items() if stem in found}, problems
    )
    if stems and not masks and not problems and any(folder.iterdir()):
        problems.append(
            f"{folder}: no mask has the name of an image (that of {next(iter(stems.values()))!r} "
            "would have that name and .png): rename them or remove the folder"
        )
    values = dataset.get("mask_values")
    if values and labelmap:
        problems.append(
            f"dataset.mask_values: {labelmap} gives the classes by their colours: remove one of "
            "the two"
        )
    if values and names:
        return masks, _coding_of_values(values, names, problems)
    if labelmap and names:
        return masks, read_labelmap(labelmap, names, problems)
    return masks, plain_coding(names)


def plain_coding(names: Sequence[str]) -> Coding:
    """Masks that hold class indices: 0 background, 1..C, 255 ignore."""
    classes = [(i, i, name) for i, name in enumerate(names, start=1)]
    return [(0, 0, "background"), *classes, (IGNORE, IGNORE, "ignore")]


def find_labelmap(*folders: Path) -> Path | None:
    """The first labelmap.txt in these folders."""
    places = [folder / LABELMAP for folder in folders]
    return next((path for path in places if path.exists()), None)


def read_labelmap(path: Path, names: Sequence[str], problems: list[str]) -> Coding:
    """The class of each colour (red, green, blue), from a labelmap.txt of CVAT or Datumaro.

    Its lines are `name:red,green,blue:parts:actions`; lines with `#` in front are comments. Black
    is background if that is not listed. Labels that are not among the classes are left out.
    """
    text = read_text(path, problems, "restore it")
    coding: dict[tuple[int, int, int], tuple[int, str]] = {}
    for number, line in enumerate((text or "").splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        colour = _colour(rest.partition(":")[0])
        if colour is None:
            problems.append(
                f"{path}, line {number}: {line!r}: write name:red,green,blue:: with numbers of 0 "
                "to 255"
            )
            continue
        index = index_of(composed(name.strip()), names)
        if colour in coding and coding[colour][0] != index:
            problems.append(
                f"{path}, line {number}: {name!r} has the colour of {coding[colour][1]!r}: give it "
                "a colour of its own, also in the masks"
            )
        if index is not None:
            coding.setdefault(colour, (index, name))
    if not any(index == 0 for index, _ in coding.values()):
        coding.setdefault((0, 0, 0), (0, "background"))
    if text is not None:
        _report_missing(f"{path}", {index for index, _ in coding.values()}, names, problems)
    return [(colour, index, name) for colour, (index, name) in coding.items()]


def index_of(name: str, names: Sequence[str]) -> int | None:
    """The class index of a name; None where it is not a class."""
    if name in names:
        return list(names).index(name) + 1
    if alike(name) in BACKGROUND:
        return 0
    return IGNORE if alike(name) in IGNORED else None


def _coding_of_values(values: dict, names: Sequence[str], problems: list[str]) -> Coding:
    """`dataset.mask_values`, with 0 for the background if that has no value."""
    coding: dict[int, tuple[int, str]] = {}
    before = len(problems)
    for key, given in values.items():
        name = composed(str(given))
        index = index_of(name, names)
        if not _is_byte(str(key)):
            problems.append(f"dataset.mask_values: {key!r} is not a value of 0 to 255: correct it")
        elif index is None:
            problems.append(
                f"dataset.mask_values: {key}: {name!r} is not a class{did_you_mean(name, names)}: "
                f"choose from background, ignore, {', '.join(names)}"
            )
        else:
            coding[int(key)] = index, name
    if not any(index == 0 for index, _ in coding.values()):
        coding.setdefault(0, (0, "background"))
    if len(problems) == before:  # else a class is missing by the same mistake
        indices = {index for index, _ in coding.values()}
        _report_missing("dataset.mask_values", indices, names, problems)
    return [(value, *coding[value]) for value in sorted(coding)]


def _report_missing(
    place: str, indices: set[int], names: Sequence[str], problems: list[str]
) -> None:
    missing = [name for i, name in enumerate(names, start=1) if i not in indices]
    if missing:
        problems.append(f"{place}: it lacks {', '.join(map(repr, missing))}: add each class")


def _colour(text: str) -> tuple[int, int, int] | None:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(map(_is_byte, parts)):
        return None
    red, green, blue = map(int, parts)
    return red, green, blue


def _is_byte(text: str) -> bool:
    return text.isdecimal() and len(text) <= 3 and int(text) <= 255
