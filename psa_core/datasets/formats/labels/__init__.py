"""Image-level labels in the formats of several tools, one module per format.

Standard library only: the Snakefile reads the labels at each start.
"""

import json
import shlex
from collections.abc import Collection
from pathlib import Path
from xml.etree import ElementTree

from psa_core.datasets.formats.labels import class_folders, coco, cvat, label_studio, table, voc_xml
from psa_core.datasets.formats.labels.names import spelled_alike
from psa_core.datasets.formats.labels.rows import Labels, Malformed
from psa_core.datasets.formats.source import images_folder, read_text, resolve, root_of
from psa_core.runtime.files import content_of, refusal

FOLDERS = "folders"  # the value of dataset.labels for one folder per class
FORMATS = (
    "a csv (image,labels, or image and a column of 0 and 1 for each class), COCO's or Label "
    "Studio's JSON, CVAT's XML for images, a folder of VOC's XML files, or dataset.labels: folders"
)
# Keeps the order of the columns. Unpickling may run code, so the user decides.
OF_NPY = (
    'python -c "import csv, sys, numpy; '
    "found = numpy.load(sys.argv[1], allow_pickle=True).item(); "
    "classes = range(1, len(next(iter(found.values()))) + 1); "
    "csv.writer(open(sys.argv[2], 'w', newline='')).writerows([['image', *classes], "
    '*([name, *map(int, shown)] for name, shown in found.items())])"'
)


def read_labels(
    path: Path, dataset: dict, known: Collection[str] | None, problems: list[str]
) -> Labels | None:
    """Labels of a file or folder, whose content decides how it is read.

    path: of the labels; with `dataset.labels: folders` that of the images.
    dataset: the config section of that name.
    known: the classes, if they are listed. None: each label is a class, and names that look like
    a misspelling are problems.
    Returns None, and adds a problem, where nothing can be read.
    """
    try:
        found = _read(path, dataset, known, problems)
    except Malformed as error:
        problems.append(f"{path}, {error}: export it again, or write a csv (image,labels)")
        return None
    if found and known is None:
        problems += spelled_alike(path, found.rows)
    return found


def _read(
    path: Path, dataset: dict, known: Collection[str] | None, problems: list[str]
) -> Labels | None:
    if dataset.get("labels") == FOLDERS:
        root = root_of(dataset)
        others = [resolve(root, dataset.get(key), key) for key in ("masks", "corrections")]
        return class_folders.read(path, others, problems)
    if path.is_dir():
        return voc_xml.read(path, problems)
    head, suffix = _head(path), path.suffix.lower()
    if head.startswith((b"{", b"[")) or suffix == ".json":
        return _read_json(path, images_folder(dataset), problems)
    if head.startswith(b"<") or b"<\0" in head[:4] or (head and suffix == ".xml"):
        return _read_xml(path, problems)
    if head.startswith(b"\x93NUMPY"):
        line = shlex.join([str(path), str(path.with_suffix(".csv"))])
        problems.append(
            f"{path}: NumPy's file may run code when it is opened. If you trust it, write a csv "
            f"by\n{OF_NPY} {line}\nand set dataset.labels to that; its first line names the "
            "classes 1, 2, .."
        )
        return None
    if reason := _refused(path, head):
        problems.append(f"{path}: {reason}: labels are read from {FORMATS}")
        return None
    remedy = "create it (image,labels) or set dataset.labels"
    if not path.exists() and class_folders.are_there(images_folder(dataset)):
        remedy += "; if each image lies in the folder of its class, set dataset.labels: folders"
    return table.read(path, dataset, known, problems, remedy)


def _head(path: Path) -> bytes:
    """The first bytes, without blanks; none where it cannot be read, of which `table` says why."""
    if refusal(path):
        return b""
    try:
        with path.open("rb") as file:
            return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError:
        return b""


def _refused(path: Path, head: bytes) -> str | None:
    if head.startswith(b"PK"):
        return "an archive or a spreadsheet, not text"
    if head.startswith(b"\x80"):
        return "a pickle, which may run code"
    if path.suffix.lower() in (".yaml", ".yml"):
        return "YAML, of which there is no common form for labels"
    return None


def _read_json(path: Path, images: Path, problems: list[str]) -> Labels | None:
    text = read_text(path, problems, "restore it or set dataset.labels")
    if text is None:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        problems.append(f"{path}: not JSON ({error}): export it again")
        return None
    if coco.is_coco(content):
        return coco.read(path, content, problems)
    if label_studio.is_label_studio(content):
        return label_studio.read(content, images)
    problems.append(
        f"{path}: JSON, but neither COCO's (images, annotations, categories) nor Label Studio's "
        f"(tasks with data and annotations; not JSON-MIN): labels are read from {FORMATS}"
    )
    return None


def _read_xml(path: Path, problems: list[str]) -> Labels | None:
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        with path.open("rb") as file:
            kind = content_of(file.read(64))
        reason = f"not XML ({error})" if kind in (None, "XML") else kind
        problems.append(f"{path}: {reason}: export it again")
        return None
    if root.tag == "annotations":
        return cvat.read(root)
    one = " of one image: set dataset.labels to its folder" if root.tag == "annotation" else ""
    problems.append(f"{path}: XML with <{root.tag}>{one}: labels are read from {FORMATS}")
    return None
