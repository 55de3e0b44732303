"""The table of image-level labels, `labels.csv`: columns, separators, names of classes.

Standard library only: the Snakefile reads the table at each start.
"""

import ast
import csv
import io
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from psa_core.datasets.formats.source import read_text

COLUMNS = ("image", "labels", "split")
SEPARATORS = (";", ",", "|", "\t")  # recognised, in this order; a blank only without any of them
NOT_IN_NAMES = re.compile(r"""[,;|\t"\[\]{}]|^['(]|'$""")
CLASSES_REMEDY = "list all classes in classes.txt or dataset.classes"


class Row(NamedTuple):
    """One row of a labels csv: line number, image as written, its labels, its split or ""."""

    line: int
    image: str
    labels: list[str]
    split: str


def read_rows(
    path: Path, dataset: dict, known: Collection[str] | None, problems: list[str]
) -> list[Row] | None:
    """Rows of a labels csv (`image,labels`, optional `split`), all values as strings.

    dataset: the config section; its `separator` separates labels. Without it, labels may be a list
    in Python's or JSON's notation; else the first of SEPARATORS that occurs in the column separates
    them; else white space.
    known: the classes, if they are listed; one of them may hold separators. None: each label is a
    class, and names that look like a misread separator or a misspelling are problems.
    Rows of the same image are joined. Where there is no such table, returns None and adds a
    problem.
    """
    text = read_text(path, problems, "create it (image,labels) or set dataset.labels")
    if text is None:
        return None
    try:
        records = _read_records(path, text, problems)
    except csv.Error as error:
        problems.append(f"{path}: {error}: close each quote, or save it as a plain csv again")
        return None
    if records is None:
        return None
    listed = frozenset(known or ())
    separator = dataset.get("separator") or _find_separator(
        labels for _, _, labels, _ in records if labels not in listed
    )
    is_given = bool(dataset.get("separator"))
    rows = [
        Row(line, image, _labels(labels, separator, listed, is_given), split)
        for line, image, labels, split in records
    ]
    if known is None:
        problems += _odd_names(path, rows)
        if separator == " " and not is_given:
            problems += _never_alone(path, rows)
    return _joined(path, rows, problems)


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC), in which equal letters have equal codes."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def alike(name: str) -> str:
    """What is equal for names that a person would read as the same: case, blanks, hyphens."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    visible = (c for c in folded if unicodedata.category(c) != "Cf")
    words = " ".join(re.split(r"[\s_-]+", "".join(visible))).strip()
    return str(int(words)) if words.isdecimal() else words


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names of classes in alphabetical order, or as numbers if all are whole numbers."""
    names = list(names)
    are_numbers = all(name.isascii() and name.isdecimal() for name in names)
    return tuple(sorted(names, key=lambda n: (int(n) if are_numbers else 0, n)))


def _read_records(
    path: Path, text: str, problems: list[str]
) -> list[tuple[int, str, str, str]] | None:
    """(line number, image, labels, split or "") of each row; None where a column is missing."""
    reader = csv.reader(io.StringIO(text), skipinitialspace=True, strict=True)
    header = [name.strip() for name in next(reader, [])]
    if missing := [name for name in COLUMNS[:2] if name not in header]:
        problems.append(
            f"{path}: no column {', '.join(missing)} in the header {','.join(header)!r}: "
            "the first line is image,labels or image,labels,split, separated by commas"
        )
        return None
    if repeated := [name for name in COLUMNS if header.count(name) > 1]:
        problems.append(
            f"{path}: the column {repeated[0]} is there {header.count(repeated[0])} times: keep one"
        )
        return None
    image, labels = header.index("image"), header.index("labels")
    split = header.index("split") if "split" in header else -1  # then an empty field
    records = []
    for fields in filter(None, reader):
        if len(fields) > len(header):
            problems.append(
                f"{path}, line {reader.line_num}: {len(fields)} fields, "
                f"the header has {len(header)}: separate labels by ; not by commas"
            )
            del fields[len(header) :]
        fields += [""] * (len(header) + 1 - len(fields))
        row = fields[image].strip(), composed(fields[labels].strip()), fields[split].strip()
        if row[:2] == COLUMNS[:2]:
            problems.append(f"{path}, line {reader.line_num}: the header again: remove the line")
            continue
        records.append((reader.line_num, *row))
    return records


def _find_separator(texts: Iterable[str]) -> str:
    found = {s for text in texts if text[:1] != "[" for s in SEPARATORS if s in text}
    return next((separator for separator in SEPARATORS if separator in found), " ")


def _labels(text: str, separator: str, known: Collection[str], is_given: bool) -> list[str]:
    """The labels of one row."""
    if text in known:
        return [text]
    listed = None if is_given else _listed(text)
    if listed is not None:
        return listed
    parts = text.split(None if separator == " " else separator)
    return [each for part in parts if (each := part.strip())]


def _listed(text: str) -> list[str] | None:
    """Labels of a list in Python's or JSON's notation, also without quotes; else None."""
    if text[:1] + text[-1:] not in ("[]", "()", "{}"):
        return None
    if not re.search("['\"(){}]", text) and not re.search(r"[\[\]]", text[1:-1]):  # [cat, dog]
        return [each for part in text[1:-1].split(",") if (each := part.strip())]
    try:
        values = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    # Python joins neighbouring texts, as numpy prints them: ['cat' 'dog'].
    if re.search("['\"]\\s*['\"]", text) or not isinstance(values, list | tuple | set):
        return None
    labels = [str(each).strip() for each in values if isinstance(each, str | int)]
    return labels if len(labels) == len(values) else None


def _odd_names(path: Path, rows: list[Row]) -> list[str]:
    """Names that are probably not what the user calls a class."""
    first: dict[str, int] = {}
    for row in rows:
        for label in row.labels:
            first.setdefault(label, row.line)
    problems = []
    spellings = defaultdict(list)
    for name in first:
        spellings[alike(name)].append(name)
    for name, line in first.items():
        if match := NOT_IN_NAMES.search(name):
            problems.append(
                f"{path}, line {line}: label {name!r} holds {match[0]!r}: separate labels by ; or "
                f"set dataset.separator (if it is one name, {CLASSES_REMEDY})"
            )
        elif made_of := _made_of(alike(name), spellings.keys() - {alike(name)}):
            problems.append(
                f"{path}, line {line}: label {name!r} is made of the labels "
                f"{' and '.join(map(repr, made_of))}: separate them as in the other lines (if it "
                f"is a class of its own, {CLASSES_REMEDY})"
            )
    problems += [
        f"{path}, line {first[names[-1]]}: labels {' and '.join(map(repr, names))} differ only in "
        f"case, blanks or Unicode form: write them the same (if they are different, "
        f"{CLASSES_REMEDY})"
        for names in spellings.values()
        if len(names) > 1
    ]
    return problems


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


def _never_alone(path: Path, rows: list[Row]) -> list[str]:
    """Words separated by a blank that may be one name, such as `polar bear`."""
    alone = {row.labels[0] for row in rows if len(row.labels) == 1}
    count = Counter(label for row in rows for label in row.labels)
    pairs = Counter(pair for row in rows for pair in pairwise(row.labels))
    line = {pair: row.line for row in reversed(rows) for pair in pairwise(row.labels)}
    return [
        f"{path}, line {line[first, second]}: '{first} {second}': one class or two? None of the "
        'two is ever alone: set dataset.separator to ";" for one class, or to " " for two'
        for (first, second), number in pairs.items()
        if not {first, second} & alone and number in (count[first], count[second])
    ]


def _joined(path: Path, rows: list[Row], problems: list[str]) -> list[Row]:
    """One row for each image: tables with one row for each label repeat the image."""
    found: dict[str, Row] = {}
    for row in rows:
        first = found.setdefault(row.image, row)
        if first is row:
            continue
        first.labels.extend(label for label in row.labels if label not in first.labels)
        if row.split != first.split:
            problems.append(
                f"{path}, line {row.line}: {row.image!r} is {row.split or 'without split'}, but "
                f"{first.split or 'without split'} in line {first.line}: remove one"
            )
    return list(found.values())
