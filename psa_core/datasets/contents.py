"""Digests of files by their contents; a file is read once, then known by its size and times.

Standard library only: the Snakefile asks for them at each start.
"""

import functools
import hashlib
import json
import os
import platform
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


class Digests:
    """SHA-256 digests of files, remembered from run to run.

    cache: a JSON file, written when a file was new or has changed. Under "sha256" it has one text
    for each path: size, time of the last change of the contents, time of the last change of the
    inode (which reveals a copy that keeps the former two), and digest.
    """

    def __init__(self, cache: str | Path):
        self._cache = Path(cache)

    @functools.cached_property
    def _known(self) -> dict[str, str]:
        try:
            return json.loads(self._cache.read_text(encoding="utf-8"))["sha256"]
        except (
            FileNotFoundError,
            ValueError,
            KeyError,
        ):  # missing, truncated, or of an earlier version
            return {}

    def of(self, paths: Iterable[str]) -> dict[str, str | None]:
        """SHA-256 of files by path, hexadecimal; None for a file that does not exist.

        Raises OSError naming a file that cannot be read.
        """
        found: dict[str, str | None] = {}
        unread: dict[str, str] = {}
        known = self._known
        for (
            path
        ) in paths:  # hundreds of thousands at each start: nothing is called that can be spared
            try:
                stat = os.stat(path)
            except FileNotFoundError:
                found[path] = None
                continue
            state = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} "
            text = known.get(path, "")
            if text.startswith(state):
                found[path] = text[len(state) :]
            else:
                unread[path] = state
        if unread:
            with ThreadPoolExecutor() as pool:  # hashing releases the interpreter's lock
                for path, digest in zip(unread, pool.map(_digest, unread), strict=True):
                    found[path] = digest
                    self._known[path] = f"{unread[path]}{digest}"
            self._save()
        return found

    def _save(self) -> None:
        self._cache.parent.mkdir(parents=True, exist_ok=True)
        # Processes on two nodes may have the same number.
        temporary = self._cache.with_name(f"{self._cache.name}.{platform.node()}.{os.getpid()}")
        temporary.write_text(json.dumps({"sha256": self._known}), encoding="utf-8")
        os.replace(temporary, self._cache)


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
