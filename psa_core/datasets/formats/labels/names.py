"""Names of classes: their order, and names that are probably not what the user calls a class."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from psa_core.datasets.formats.labels.rows import Row

NOT_IN_NAMES = re.compile(r"""[,;|\t"\[\]{}]|^['(]|'$""")
CLASSES_REMEDY = "list all classes in classes.txt or dataset.classes"


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC), in which equal letters have equal codes."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def alike(name: str) -> str:
    """What is equal for names that a person would read as the same: case, blanks, hyphens."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    visible = (c for c in folded if unicodedata.category(c) != "Cf")
    words = " ".join(re.split(r"[\s_-]+", "".join(visible))).strip()
    return words.lstrip("0") or "0" if words.isdecimal() else words


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names of classes in alphabetical order, or as numbers if all are whole numbers."""
    names = sorted(names)
    if not all(name.isascii() and name.isdecimal() for name in names):
        return tuple(names)
    return tuple(sorted(names, key=lambda name: (len(name.lstrip("0")), name.lstrip("0"))))


def spelled_alike(path: Path, rows: Iterable[Row]) -> list[str]:
    """Problems with names that differ only in their spelling, such as `Cat` and `cat`."""
    first = _first_places(rows)
    spellings = defaultdict(list)
    for name in first:
        spellings[alike(name)].append(name)
    return [
        f"{path}, {first[names[-1]]}: labels {' and '.join(map(repr, names))} differ only in "
        f"case, blanks or Unicode form: write them the same (if they are different, "
        f"{CLASSES_REMEDY})"
        for names in spellings.values()
        if len(names) > 1
    ]


def misread(path: Path, rows: Iterable[Row]) -> list[str]:
    """Problems with names that look like several labels whose separator was not recognised."""
    first = _first_places(rows)
    known = {alike(name) for name in first}
    problems = []
    for name, place in first.items():
        if match := NOT_IN_NAMES.search(name):
            problems.append(
                f"{path}, {place}: label {name!r} holds {match[0]!r}: separate labels by ; or "
                f"set dataset.separator (if it is one name, {CLASSES_REMEDY})"
            )
        elif made_of := _made_of(alike(name), known - {alike(name)}):
            problems.append(
                f"{path}, {place}: label {name!r} is made of the labels "
                f"{' and '.join(map(repr, made_of))}: separate them as in the other lines (if it "
                f"is a class of its own, {CLASSES_REMEDY})"
            )
    return problems


def never_alone(
    path: Path, rows: Sequence[Row], separated: Sequence[Row]
) -> tuple[list[str], list[str]]:
    """(problems, doubts) about words separated by a blank that may be one name: `polar bear`.

    separated: those of the rows whose labels were separated by blanks.

    It is a problem where none of the two is ever alone. Where one of them is, as in `polar bear`
    and `bear`, the words may as well be two labels, as in `person bicycle` and `person`: all such
    pairs are one doubt.
    """
    alone = {row.labels[0] for row in rows if len(row.labels) == 1}
    count = Counter(label for row in rows for label in row.labels)
    pairs = Counter(pair for row in separated for pair in pairwise(row.labels))
    place = {pair: row.place for row in reversed(separated) for pair in pairwise(row.labels)}
    remedy = 'set dataset.separator to ";" for one class, or to " " for two'
    bound = [
        (first, second)
        for (first, second), number in pairs.items()
        if first != second and number in (count[first], count[second])
    ]
    problems = [
        f"{path}, {place[pair]}: '{' '.join(pair)}': one class or two? None of the two is ever "
        f"alone: {remedy}"
        for pair in bound
        if not alone & {*pair}
    ]
    doubtful = [pair for pair in bound if alone & {*pair}]
    if not doubtful:
        return problems, []
    first = doubtful[0]
    others = f" (and {len(doubtful) - 1} other pairs)" if len(doubtful) > 1 else ""
    never = first[0] if pairs[first] == count[first[0]] else first[1]
    doubt = (
        f"{path}, {place[first]}: '{' '.join(first)}'{others}: one class or two? {never!r} never "
        f"occurs without the other word beside it: {remedy}"
    )
    return problems, [doubt]


def _first_places(rows: Iterable[Row]) -> dict[str, str]:
    first: dict[str, str] = {}
    for row in rows:
        for label in row.labels:
            first.setdefault(label, row.place)
    return first


def _made_of(name: str, others: Collection[str]) -> list[str]:
    """The other names of which a name is made; empty if it is not."""
    words = [word for word in re.split(r"[\W_]+", name) if word]
    parts: list[list[str] | None] = [[]]  # for the first n words
    for end in range(1, len(words) + 1):
        found = None
        for start in range(end):
            before, part = parts[start], " ".join(words[start:end])
            if before is not None and part in others:
                found = [*before, part]
        parts.append(found)
    return parts[-1] or [] if len(words) > 1 else []
