"""What each format of labels is read into, and the errors of files that are not in their format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One image and its labels.

    place: where that stands in the file, "line 3" or "task 17". image: as written there.
    split: "train", "val", or "" where the format has none.
    """

    place: str
    image: str
    labels: list[str]
    split: str = ""


class Labels(NamedTuple):
    """The labels of a data set.

    names: the classes in the file's own order; None where it has none.
    doubts: what may have been meant otherwise, for the summary of the data set.
    """

    rows: list[Row]
    names: tuple[str, ...] | None = None
    doubts: tuple[str, ...] = ()


class Malformed(Exception):
    """A file is not in its format; the message names the place and what is wrong there."""


def member(entry: object, key: str, kind: type | tuple[type, ...], place: str) -> Any:
    """The value of a key. Raises Malformed where it is missing or of another type."""
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, kind):
        raise Malformed(f"{place}: {key!r} is missing, or is not what it should be")
    return value


def joined(path: Path, rows: Sequence[Row], problems: list[str]) -> list[Row]:
    """One row for each image: tables with one row for each label repeat the image."""
    found: dict[str, Row] = {}
    for row in rows:
        first = found.setdefault(row.image, row)
        if first is row:
            continue
        first.labels.extend(label for label in row.labels if label not in first.labels)
        if row.split != first.split:
            problems.append(
                f"{path}, {row.place}: {row.image!r} is {row.split or 'without split'}, but "
                f"{first.split or 'without split'} in {first.place}: remove one"
            )
    return list(found.values())
