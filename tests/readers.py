"""The readers of the user's files, and what each must do with a file of any content.

It finds something usable, or refuses the file with messages that name it and can be printed; any
other error is a bug. tests/corpus/ has small files of each reader, in a folder of its name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from seeds import ROOT

from psa_core.datasets import formats
from psa_core.datasets.formats import voc
from psa_core.datasets.formats.source import Source
from psa_core.errors import UserError
from psa_core.networks import weights

# A reader takes a folder of its own and the content of the file. It tells whether it could use it.
Reader = Callable[[Path, bytes], bool]
CORPUS = ROOT / "tests/corpus"


def readable(path: Path, read: Callable[[Path], object], content: bytes) -> bool:
    """Whether a function takes a file of this content; else it must refuse it by name."""
    path.write_bytes(content)
    try:
        read(path)
    except UserError as error:
        message = str(error)
        assert str(path) in message
        assert "Traceback" not in message
        message.encode()
        return False
    return True


def _is_usable(source: Source, folder: Path) -> bool:
    for message in (*source.problems, *source.doubts):
        assert str(folder) in message or message.startswith(("dataset.", "image "))
        message.encode()
    if source.problems:
        return False
    assert source.names
    for images in source.lists.values():
        assert set(images) <= source.images.keys()
    for image, labels in source.labels.items():
        assert labels
        assert set(labels) <= set(source.names)
        assert image in source.images
    return True


def _in_folder(name: str, **settings: str) -> Reader:
    """The reader of one file of a data set of the format `folder`; the other files are right."""

    def read(folder: Path, content: bytes) -> bool:
        if not (folder / "images").exists():
            for below in ("images", "masks", "xml"):
                (folder / below).mkdir(parents=True)
            for image in ("images/a.jpg", "images/b.png", "masks/a.png"):
                (folder / image).touch()
            (folder / "labels.csv").write_text("image,labels\na.jpg,cat\nb.png,dog\n")
        (folder / name).write_bytes(content)
        dataset = {"format": "folder", "root": str(folder), "val_fraction": 0.0, **settings}
        return _is_usable(formats.read(dataset), folder)

    return read


def _in_devkit(name: str) -> Reader:
    """The reader of one file of a data set of the format `voc`; the other files are right."""

    def read(folder: Path, content: bytes) -> bool:
        lists = folder / "ImageSets/Segmentation"
        if not lists.exists():
            for below in (lists, folder / "JPEGImages"):
                below.mkdir(parents=True)
            for image in "ab":
                (folder / f"JPEGImages/{image}.jpg").touch()
            (folder / "labels.csv").write_text("image,labels\na,cat\nb,dog\n")
            for key, image in {"train_aug": "a", "train": "", "val": "b"}.items():
                (lists / f"{key}.txt").write_text(image)
        (folder / name).write_bytes(content)
        return _is_usable(formats.read({"format": "voc", "root": str(folder)}), folder)

    return read


def _annotation(folder: Path, content: bytes) -> bool:
    folder.mkdir(exist_ok=True)
    (folder / "a.xml").write_bytes(content)
    problems: list[str] = []
    labels = voc.read_annotations({"a": str(folder / "a.xml")}, problems)
    for problem in problems:
        assert str(folder) in problem
        problem.encode()
    assert problems or labels["a"]
    return not problems


def _params(folder: Path, content: bytes) -> bool:
    folder.mkdir(exist_ok=True)
    return readable(folder / "a.params", lambda path: weights.read(path, "cam"), content)


READERS: dict[str, Reader] = {
    "labels": _in_folder("labels.csv"),
    "classes": _in_folder("classes.txt"),
    "list": _in_folder("train.txt"),
    "decisions": _in_folder("decisions.csv", decisions="decisions.csv"),
    "labelmap": _in_folder("masks/labelmap.txt"),
    "json": _in_folder("labels.json", labels="labels.json"),
    "cvat": _in_folder("labels.xml", labels="labels.xml"),
    "voc_xml": _in_folder("xml/a.xml", labels="xml"),
    "voc_annotation": _annotation,
    "voc_labels": _in_devkit("labels.csv"),
    "voc_list": _in_devkit("ImageSets/Segmentation/train_aug.txt"),
    "params": _params,
}


def corpus() -> list[tuple[str, Path]]:
    """The name of the reader and the path of each file of the corpus."""
    return [(path.parent.name, path) for path in sorted(CORPUS.glob("*/*"))]
