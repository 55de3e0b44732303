"""The csv of labels: columns and separators. A csv of 0 and 1 is left to `multihot`."""

import ast
import csv
import io
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import chain, islice
from pathlib import Path

from psa_core.datasets.formats.labels import multihot
from psa_core.datasets.formats.labels.names import composed, misread, never_alone
from psa_core.datasets.formats.labels.rows import Labels, Row, joined
from psa_core.datasets.formats.source import read_text

COLUMNS = ("image", "labels", "split")
SEPARATORS = (";", ",", "|", "\t")  # recognised, in this order; a blank only without any of them


def read(
    path: Path, dataset: dict, known: Collection[str] | None, problems: list[str], remedy: str
) -> Labels | None:
    """Labels of a csv (`image,labels`, optional `split`), all values as strings.

    The column `image` may be called `filename`.
    dataset: the config section; its `separator` separates labels. Without it, labels may be a list
    in Python's or JSON's notation; else the first of SEPARATORS that occurs in the column separates
    them; else white space.
    known: the classes, if they are listed; one of them may hold separators. None: each label is a
    class, and names that look like a misread separator are problems.
    remedy: what to do where the file is missing.
    Rows of the same image are joined. Where there is no such table, returns None and adds a
    problem.
    """
    text = read_text(path, problems, remedy)
    if text is None:
        return None
    try:
        return _parse(path, text, dataset, known, problems)
    except csv.Error as error:
        problems.append(f"{path}: {error}: close each quote, or save it as a plain csv again")
        return None


def _parse(
    path: Path, text: str, dataset: dict, known: Collection[str] | None, problems: list[str]
) -> Labels | None:
    reader = csv.reader(io.StringIO(text), skipinitialspace=True, strict=True)
    header = [name.strip() for name in next(reader, [])]
    if "image" not in header:
        header = ["image" if name == "filename" else name for name in header]
    # One row at a time: 100,000 lists that stay slow down the garbage collector.
    lines = ((reader.line_num, fields) for fields in reader if fields)
    first = list(islice(lines, 1))
    if multihot.is_multihot(header, first[0][1] if first else []):
        return multihot.read(path, header, chain(first, lines), problems)
    if not _check_header(path, header, problems):
        return None
    listed, separator = frozenset(known or ()), dataset.get("separator")
    records = _records(path, header, chain(first, lines), problems)
    texts = (labels for _, _, labels, _ in records if labels not in listed)
    used = separator or _find_separator(texts)
    rows = [
        Row(f"line {line}", image, _labels(labels, used, listed, bool(separator)), split)
        for line, image, labels, split in records
    ]
    doubts: list[str] = []
    if known is None:
        problems += misread(path, rows)
        if used == " " and not separator:
            pairs = zip(rows, records, strict=True)
            blanks = [row for row, (_, _, text, _) in pairs if not _is_list(text)]
            found, doubts = never_alone(path, rows, blanks)
            problems += found
    return Labels(joined(path, rows, problems), doubts=tuple(doubts))


def _check_header(path: Path, header: list[str], problems: list[str]) -> bool:
    if missing := [name for name in COLUMNS[:2] if name not in header]:
        problems.append(
            f"{path}: no column {', '.join(missing)} in the header {','.join(header)!r}: "
            "the first line is image,labels or image,labels,split, separated by commas (or image "
            "and the classes, above columns of 0 and 1)"
        )
        return False
    if repeated := [name for name in COLUMNS if header.count(name) > 1]:
        problems.append(
            f"{path}: the column {repeated[0]} is there {header.count(repeated[0])} times: keep one"
        )
        return False
    return True


def _records(
    path: Path,
    header: Sequence[str],
    lines: Iterable[tuple[int, list[str]]],
    problems: list[str],
) -> list[tuple[int, str, str, str]]:
    """(line number, image, labels, split or "") of each row."""
    image, labels = header.index("image"), header.index("labels")
    split = header.index("split") if "split" in header else -1  # then an empty field
    records = []
    for line, fields in lines:
        if len(fields) > len(header):
            problems.append(
                f"{path}, line {line}: {len(fields)} fields, "
                f"the header has {len(header)}: separate labels by ; not by commas"
            )
            del fields[len(header) :]
        fields += [""] * (len(header) + 1 - len(fields))
        row = fields[image].strip(), composed(fields[labels].strip()), fields[split].strip()
        if row[1] == "labels" and row[0] in ("image", "filename"):
            problems.append(f"{path}, line {line}: the header again: remove the line")
            continue
        records.append((line, *row))
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
    if not _is_list(text):
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


def _is_list(text: str) -> bool:
    return text[:1] + text[-1:] in ("[]", "()", "{}")
