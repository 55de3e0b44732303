"""What a path leads to, before it is opened: reading a pipe would never end.

Standard library only: the Snakefile asks for each file of the data set.
"""

import os
import stat
from pathlib import Path

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def refusal(path: str | Path) -> str | None:
    """Why a path cannot be read as a file, for example "a folder, not a file"; None if it can.

    A file that is missing is refused as well.
    """
    try:
        return refusal_of_mode(os.stat(path).st_mode)
    except OSError as error:
        return error.strerror


def refusal_of_mode(mode: int) -> str | None:
    """As `refusal`, from the mode that os.stat returns."""
    if stat.S_ISREG(mode):
        return None
    return next((f"{kind}, not a file" for is_kind, kind in KINDS if is_kind(mode)), "not a file")


def content_of(head: bytes) -> str | None:
    """What the first bytes of a file show where it has another content than its name says."""
    start = head.lstrip().lower()
    if not head:
        return "the file is empty"
    if not head.strip(b"\0"):
        return "it holds zeros only"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS: git lfs pull gets the file itself"
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page: the download went wrong"
    if head[4:8] == b"ftyp":
        return "HEIC, AVIF or a video"
    if start.startswith(b"<?xml") or start.startswith(b"<svg"):
        return "XML"
    return None
