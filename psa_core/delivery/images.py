"""Images given on the command line: find, name and check them before any prediction."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from psa_core.datasets.decode import examine
from psa_core.datasets.formats.reading import AS_STORED, Reading
from psa_core.datasets.formats.source import (
    IMAGE_SUFFIXES,
    PROBLEMS_SHOWN,
    DatasetError,
    without_copies,
)
from psa_core.datasets.index import ImageRow

SMALLEST_SIDE = 64  # as in config/schema.yaml


def find_images(
    given: Iterable[str], *, listed: str | Path | None = None, output: str | Path | None = None
) -> dict[str, Path]:
    """Paths of images by name, sorted by name.

    given: files; folders, searched with their sub-folders; patterns such as "photos/**/*.jpg".
    listed: a text file with one path per line, relative to the current folder.
    output: a folder whose files are not images of the user, even if it is inside a given one.
    A name is a path without suffix: below the folder, below the fixed part of the pattern, or as in
    the list; of a file alone, and of a path in the list that is absolute, the last part.
    Raises DatasetError if nothing is there, or if two images have one name.
    """
    problems: list[str] = []
    found: dict[str, Path] = {}
    for name, path in (*_given(given, output, problems), *_listed(listed, problems)):
        other = found.setdefault(name, path)
        if other.resolve() != path.resolve():
            problems.append(
                f"{other} and {path} have the same name, {name}: give the folder that contains "
                "both, or rename one"
            )
    if not found and not problems:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        problems.append(f"no image ({suffixes}) is there: name files, a folder or a pattern")
    if problems:
        more = len(problems) - PROBLEMS_SHOWN
        shown = problems[:PROBLEMS_SHOWN] + ([f"... and {more} more"] if more > 0 else [])
        raise DatasetError("\n".join(shown))
    return dict(sorted(found.items()))


def check_longest_side(pixels: int | None) -> None:
    """Raise ValueError for a --longest-side that is neither 0 nor usable; None is the default."""
    if pixels and pixels < SMALLEST_SIDE:
        raise ValueError(f"--longest-side: {pixels} is below {SMALLEST_SIDE} pixels; try 500, or 0")


def _given(
    given: Iterable[str], output: str | Path | None, problems: list[str]
) -> Iterator[tuple[str, Path]]:
    for each in given:
        path = Path(each)
        if path.is_dir():
            yield from _below(path, path.rglob("*"), output)
        elif path.exists():
            yield path.stem, path
        elif glob.has_magic(each):
            matches = map(Path, glob.glob(each, recursive=True))
            yield from _below(_fixed_part(path), matches, output)
        else:
            problems.append(f"{each}: no such file or folder; correct the path")


def _below(
    folder: Path, paths: Iterable[Path], output: str | Path | None
) -> Iterator[tuple[str, Path]]:
    """(name, path) of the images among these paths below a folder; hidden files are left out."""
    own = None if output is None else Path(output).resolve()
    kept = (path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES)
    for path in map(Path, without_copies(sorted(map(str, kept)))):
        inside = path.relative_to(folder)
        if (
            path.is_file()
            and not any(part.startswith(".") for part in inside.parts)
            and not (own and path.resolve().is_relative_to(own))
        ):
            yield inside.with_suffix("").as_posix(), path


def _fixed_part(pattern: Path) -> Path:
    """The folder of a pattern up to its first part with a wildcard."""
    return next(parent for parent in pattern.parents if not glob.has_magic(str(parent)))


def _listed(listed: str | Path | None, problems: list[str]) -> Iterator[tuple[str, Path]]:
    lines = Path(listed).read_text(encoding="utf-8").splitlines() if listed else []
    for number, line in enumerate(lines, start=1):
        path = Path(line.strip())
        if not line.strip():
            continue
        if not path.is_file():
            problems.append(f"{listed}, line {number}: no file {path}; correct the path")
        elif path.is_absolute() or ".." in path.parts:
            yield path.stem, path
        else:
            yield path.with_suffix("").as_posix(), path


def check_images(
    images: dict[str, Path],
    *,
    threads: int,
    reading: Reading = AS_STORED,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[ImageRow], list[str]]:
    """Decode images once, so that a damaged one is known before hours of work.

    images: paths by name. threads: number of images decoded at once. reading: of the images.
    progress: called with (images done, total) after each.
    Returns a row for each usable image, and what is wrong with the others, each with file, value
    and remedy.
    """
    rows: list[ImageRow] = []
    problems: list[str] = []
    with ThreadPoolExecutor(threads) as pool:
        examined = zip(
            images.items(),
            pool.map(partial(examine, reading=reading), images.values()),
            strict=True,
        )
        for done, ((name, path), (size, found)) in enumerate(examined, start=1):
            problems += found
            if size and not found:
                about = (os.fspath(path), "", (), (), size[1], size[0])
                rows.append(ImageRow(name, *about, *reading))
            if progress:
                progress(done, len(images))
    return rows, problems


def file_name(row: ImageRow) -> str:
    """The image's name with its suffix, as it would stand in a labels.csv: "cats/a.jpg"."""
    return row.image + Path(row.path).suffix


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def say_problems(problems: Sequence[str], log: Callable[[str], None]) -> int:
    """Log the images that were left out; returns the exit status."""
    for problem in problems:
        log(f"left out: {problem}")
    return 1 if problems else 0
