"""What the files of a data set hold, as digests; a file is read once, then known by size and times.

Standard library only: the Snakefile asks at each start.
"""

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple


class Files(NamedTuple):
    """What a data set has of one image; a file that does not exist is None.

    labels: the names of its classes, or the file that has them where it has not been read.
    """

    image: Path | None
    labels: list[str] | Path | None
    mask: Path | None


def read_contents(files: Mapping[str, Files], cache: str | Path) -> dict[str, Files]:
    """The same with [path, SHA-256] in the place of each file, whatever its times.

    files: by image. cache: see `digests`.
    """
    known = digests(
        (str(each) for found in files.values() for each in found if isinstance(each, Path)), cache
    )
    return {
        image: Files(
            *([str(each), known[str(each)]] if isinstance(each, Path) else each for each in found)
        )
        for image, found in files.items()
    }


def read_indexed(path: str | Path) -> tuple[tuple[list | None, list | None], dict[str, list]]:
    """What an index was made of: (classes, others), and the contents of each image's files.

    Nothing is known where the file is missing or damaged: every job then waits for the index.
    """
    try:
        (classes, others), images = json.loads(Path(path).read_text())
        return (classes, others), dict(images)
    except (FileNotFoundError, ValueError, TypeError):
        return (None, None), {}


def digests(paths: Iterable[str], cache: str | Path) -> dict[str, str | None]:
    """SHA-256 of files, hexadecimal; None for one that is not there.

    cache: a JSON file, made and kept up to date, of the size, times (of contents and of the inode,
    so that a copy that keeps the former is noticed) and digest of each file read before.
    """
    cache = Path(cache)
    try:
        known = json.loads(cache.read_text())
    except (FileNotFoundError, ValueError):  # none so far, or cut off by a power failure
        known = {}
    states = {path: _state(path) for path in paths}
    unread = [path for path, state in states.items() if state and known.get(path, [])[:3] != state]
    if unread:
        with ThreadPoolExecutor() as pool:  # hashing does not hold the interpreter's lock
            for path, digest in zip(unread, pool.map(_digest, unread), strict=True):
                known[path] = [*states[path], digest]
        cache.parent.mkdir(parents=True, exist_ok=True)
        # Jobs on two nodes may have the same process number.
        temporary = cache.with_name(f"{cache.name}.{platform.node()}.{os.getpid()}")
        temporary.write_text(json.dumps(known))
        os.replace(temporary, cache)
    return {path: known[path][3] if state else None for path, state in states.items()}


def _state(path: str) -> list[int] | None:
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
