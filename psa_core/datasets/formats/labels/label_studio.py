"""Label Studio's JSON: a list of tasks, each with its image in `data` and with `annotations`."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from psa_core.datasets.formats.labels.names import composed
from psa_core.datasets.formats.labels.rows import Labels, Malformed, Row, member
from psa_core.datasets.formats.source import IMAGE_SUFFIXES

# Types of results whose value lists labels under the name of the type.
LABELLED = frozenset(
    f"{shape}labels" for shape in ("", "rectangle", "polygon", "brush", "ellipse", "keypoint")
) | {"choices", "taxonomy"}
UPLOADED = re.compile("^[0-9a-f]{8}-")  # in front of the name of an uploaded file


def is_label_studio(content: object) -> bool:
    tasks = content if isinstance(content, list) else []
    return bool(tasks) and isinstance(tasks[0], dict) and {"data", "annotations"} <= {*tasks[0]}


def read(tasks: list, images: Path) -> Labels:
    """Labels of tasks: all that any annotator gave. Raises Malformed for entries of another form.

    images: the folder of images, where the name of a task's image is looked up.
    Tasks without an annotation, or with cancelled (skipped) ones alone, are left out.
    """
    rows = []
    for number, task in enumerate(tasks, start=1):
        place = f"task {task.get('id', number)!r}" if isinstance(task, dict) else f"task {number}"
        annotations = member(task, "annotations", list, place)
        kept = [a for a in annotations if not (isinstance(a, dict) and a.get("was_cancelled"))]
        if not kept:
            continue
        name = _image_of(member(task, "data", dict, place), images, place)
        labels = dict.fromkeys(label for each in kept for label in _labels(each, place))
        rows.append(Row(place, name, [label for label in labels if label]))
    return Labels(rows)


def _labels(annotation: object, place: str) -> Iterator[str]:
    for result in member(annotation, "result", list, place):
        kind = result.get("type") if isinstance(result, dict) else None
        if not isinstance(kind, str) or kind not in LABELLED:
            continue
        value = member(result, "value", dict, place)
        for label in member({kind: []} | value, kind, list, place):
            # A taxonomy has the path to its label.
            last = label[-1] if kind == "taxonomy" and isinstance(label, list) and label else label
            if not isinstance(last, str):
                raise Malformed(f"{place}: {kind}: {last!r} is not a label")
            yield composed(last.strip())


def _image_of(data: dict, images: Path, place: str) -> str:
    """The name of a task's image below the folder of images.

    Label Studio names it by an address, as `/data/upload/1/1a2b3c4d-name.jpg`,
    `/data/local-files/?d=folder/name.jpg` or `s3://bucket/folder/name.jpg`. The longest end of that
    path that is a file counts, with or without the prefix of an upload.
    """
    paths = {key: _path(value) for key, value in data.items() if isinstance(value, str)}
    paths = {key: p for key, p in paths.items() if Path(p).suffix.lower() in IMAGE_SUFFIXES}
    if len(paths) != 1 and "image" not in paths:
        raise Malformed(f"{place}: {len(paths)} names of images in its data, not one")
    path = paths["image"] if "image" in paths else next(iter(paths.values()))
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    stripped = [*parts[:-1], UPLOADED.sub("", parts[-1])]
    for start in range(len(parts)):
        for name in ("/".join(parts[start:]), "/".join(stripped[start:])):
            if os.path.isfile(images / name):
                return name
    return stripped[-1]


def _path(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:  # such as brackets without an IPv6 address
        return address
    return parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
