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

from psa_core.datasets.formats.source import fail
from psa_core.runtime.files import refusal_of_mode

REMEDY = "replace it by a file that you can read, or take it out of the lists"


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
            known = json.loads(self._cache.read_text(encoding="utf-8"))["sha256"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {}  # missing, truncated, edited, or of an earlier version
        are_texts = isinstance(known, dict) and all(
            isinstance(each, str) for each in known.values()
        )
        return known if are_texts else {}

    def of(self, paths: Iterable[str]) -> dict[str, str | None]:
        """SHA-256 of files by path, hexadecimal; None for a file that does not exist.

        Raises DatasetError for all paths together that are no files or cannot be read.
        """
        found: dict[str, str | None] = {}
        unread: dict[str, str] = {}
        problems: list[str] = []
        known = self._known
        # Hundreds of thousands at each start: nothing is called that can be spared.
        for path in paths:
            try:
                state = os.stat(path)
            except FileNotFoundError:
                found[path] = None
                continue
            except OSError as error:
                problems.append(f"{path}: {error.strerror}: {REMEDY}")
                continue
            stamp = f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} "
            text = known.get(path, "")
            if text.startswith(stamp):
                found[path] = text[len(stamp) :]
            elif reason := refusal_of_mode(state.st_mode):
                problems.append(f"{path}: {reason}: {REMEDY}")
            else:
                unread[path], found[path] = stamp, None  # in the order of the paths
        if unread:
            with ThreadPoolExecutor() as pool:  # hashing releases the interpreter's lock
                for path, digest in zip(unread, pool.map(_digest, unread), strict=True):
                    if isinstance(digest, OSError):
                        problems.append(f"{path}: {digest.strerror}: {REMEDY}")
                        continue
                    found[path] = digest
                    known[path] = f"{unread[path]}{digest}"
            self._save()
        if problems:
            fail(problems)
        return found

    def _save(self) -> None:
        self._cache.parent.mkdir(parents=True, exist_ok=True)
        # Processes on two nodes may have the same number.
        temporary = self._cache.with_name(f"{self._cache.name}.{platform.node()}.{os.getpid()}")
        temporary.write_text(json.dumps({"sha256": self._known}), encoding="utf-8")
        os.replace(temporary, self._cache)


def _digest(path: str) -> str | OSError:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return error
