"""A folder of VOC's XML files, `<annotation>` with `<object><name>`, of classes of one's own."""

import os
from pathlib import Path
from xml.etree import ElementTree

from psa_core.datasets.formats.labels.names import composed
from psa_core.datasets.formats.labels.rows import Labels, Row
from psa_core.runtime.files import refusal


def read(folder: Path, problems: list[str]) -> Labels | None:
    """Labels of all XML files of a folder and its subfolders; an image has the name of its file.

    Files that are not VOC's are problems. Returns None, and adds a problem, where there is none.
    """
    paths = sorted(
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(".xml") and not name.startswith(".")
    )
    if not paths:
        problems.append(
            f"{folder}: a folder without .xml files: add VOC's annotations, or set dataset.labels "
            "to a file"
        )
        return None
    rows = []
    for path in paths:
        labels = read_objects(path, problems)
        if labels is not None:
            place = os.path.relpath(path, folder)
            rows.append(Row(place, place[: -len(".xml")], labels))
    return Labels(rows)


def read_objects(path: str, problems: list[str]) -> list[str] | None:
    """Names of the objects of an XML file, each once; None, and a problem, where it is not VOC's.

    Objects marked as difficult count; parts of an object (head, hand) do not.
    """
    remedy = "restore it or take the image out of the lists"
    if reason := refusal(path):
        problems.append(f"{path}: {reason}: {remedy}")
        return None
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        problems.append(f"{path}: {getattr(error, 'strerror', None) or error}: {remedy}")
        return None
    if root.tag != "annotation":
        problems.append(f"{path}: <{root.tag}>, but VOC's files have <annotation>: {remedy}")
        return None
    names = ((each.findtext("name") or "").strip() for each in root.iterfind("object"))
    return list(dict.fromkeys(composed(name) for name in names))
