"""Manifests: lists of the files that the job of a shard made, with their SHA-256.

Standard library only: the Snakefile reads them at each start.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from psa_core.errors import UserError

NAME = re.compile(r"(train_aug|val|test)_\d+\.txt")  # beside them lie lists of names


def manifest_of(files: Iterable[Path]) -> str:
    """The text of a manifest: a comment with a check sum of the rest, then the digest of each file.

    `sha256sum --check` reads it. Raises FileNotFoundError for a file that is missing.
    """
    body = "".join(f"{_digest(file)}  {file.name}\n" for file in files)
    return f"{head_of(body, 'files')}\n{body}"


def read_manifest(path: str | Path) -> dict[str, str]:
    """SHA-256 of each file that a manifest lists, by the name of the file.

    Raises UserError naming a manifest that is damaged.
    """
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    head, _, body = text.partition("\n")
    if head != head_of(body, "files"):
        raise UserError(
            f"{path}: not a readable list of files: delete it, and the next run makes it again"
        )
    digests = (line.split("  ", 1) for line in body.split("\n")[:-1])
    return {name: digest for digest, name in digests}


def edited_files(reads: Iterable[str | Path], only: str | None = None) -> Iterator[Path]:
    """Files that are there, but are not what their manifest says.

    reads: files that a job reads, of which the manifests are looked into.
    only: the id of the only image that is read; None: all of them are.
    """
    for manifest in (Path(each) for each in reads):
        if NAME.fullmatch(manifest.name):
            for name, digest in read_manifest(manifest).items():
                file = manifest.with_name(name)
                if only in (None, file.stem) and file.is_file() and _digest(file) != digest:
                    yield file


def head_of(body: str, what: str) -> str:
    """A first line by which a reader knows that the lines after it are whole and unchanged.

    what: they are about.
    """
    lines = body.count("\n")
    return f"# {lines} {what}, CRC-32 {zlib.crc32(body.encode()):08x}"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
