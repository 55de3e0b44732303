"""Zip files that depend on names and contents only."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from psa_core.runtime.artifacts import VOC_PALETTE, replacing


class Archive:
    """A zip file that is being written; its members have no times and no permissions."""

    def __init__(self, file: zipfile.ZipFile):
        self._file = file

    def add(self, name: str, content: str | bytes) -> None:
        """Add a text in UTF-8, or bytes, compressed."""
        self._file.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)

    def add_stored(self, name: str, content: bytes) -> None:
        """Add bytes as they are, since they are compressed already."""
        self._file.writestr(zipfile.ZipInfo(name), content)

    def add_file(self, name: str, path: Path) -> None:
        """Add a file as it is: images are compressed already."""
        member = zipfile.ZipInfo(name)
        member.file_size = path.stat().st_size
        with path.open("rb") as source, self._file.open(member, "w") as target:
            shutil.copyfileobj(source, target)

    def add_label_map(self, name: str, labels: np.ndarray) -> None:
        """Add uint8 [H, W] class indices as a PNG with VOC's palette."""
        image = Image.fromarray(labels)
        image.putpalette(VOC_PALETTE)
        content = io.BytesIO()
        image.save(content, "PNG")
        self.add_stored(name, content.getvalue())


@contextmanager
def writing(path: str | Path) -> Iterator[Archive]:
    """Yield an archive; it becomes `path` if the block succeeds."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as file:
        yield Archive(file)
