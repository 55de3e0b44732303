"""A csv with one column of 0 and 1 for each class: `image,cat,dog`, optionally `split`."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from psa_core.datasets.formats.labels.names import composed
from psa_core.datasets.formats.labels.rows import Labels, Row, joined

VALUES = {
    text: is_shown
    for is_shown, texts in ((True, ("1", "1.0", "True")), (False, ("0", "0.0", "False")))
    for text in (*texts, *(text.lower() for text in texts), *(text.upper() for text in texts))
}
OF_LABELS = ("label", "class", "classes", "category", "tag", "tags", "target")  # hold names


def is_multihot(header: Sequence[str], fields: Sequence[str]) -> bool:
    """Whether a csv without the column `labels` has columns of 0 and 1, by its first row."""
    columns = _columns(header)
    if "image" not in header or "labels" in header:
        return False
    if len(columns) == 1 and header[columns[0]].lower() in OF_LABELS:
        return False
    return any(fields[i].strip() in VALUES for i in columns if i < len(fields))


def read(
    path: Path, header: Sequence[str], lines: Iterable[tuple[int, list[str]]], problems: list[str]
) -> Labels | None:
    """Labels of a csv; the classes are in the order of the columns.

    header: with the columns `image` and, optionally, `split`; all others are classes.
    lines: line number and fields of each row. A value other than VALUES is a problem.
    Returns None, and adds a problem, where a column has no name or that of another one.
    """
    columns = _columns(header)
    names = [composed(name) for name in header]
    for name in {name for name in names if not name or names.count(name) > 1}:
        what = f"the column {name} is there {names.count(name)} times: keep one"
        problems.append(f"{path}: {what if name else 'a column has no name: remove it'}")
        return None
    at = names.index("image"), names.index("split") if "split" in names else len(names)
    rows = []
    for number, fields in lines:
        if len(fields) != len(names):
            problems.append(
                f"{path}, line {number}: {len(fields)} fields, the header has {len(names)}: write "
                "0 or 1 for each class"
            )
            continue
        fields = [field.strip() for field in fields]
        if [fields[i] for i in columns] == [names[i] for i in columns]:
            problems.append(f"{path}, line {number}: the header again: remove the line")
            continue
        problems += [
            f"{path}, line {number}: {fields[i]!r} in the column {names[i]}: write 0 or 1 (or name "
            "the columns image,labels and write the labels)"
            for i in columns
            if fields[i] not in VALUES
        ]
        labels = [names[i] for i in columns if VALUES.get(fields[i])]
        rows.append(Row(f"line {number}", fields[at[0]], labels, [*fields, ""][at[1]]))
    return Labels(joined(path, rows, problems), tuple(names[i] for i in columns))


def _columns(header: Sequence[str]) -> list[int]:
    return [i for i, name in enumerate(header) if name not in ("image", "split")]
