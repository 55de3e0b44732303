"""What may happen to any file, whatever it holds."""

from __future__ import annotations

import os
import random
from pathlib import Path

HTML = b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614\nsize 13\n"


def truncated(path: Path, chance: random.Random) -> None:
    size = path.stat().st_size
    os.truncate(path, chance.randrange(max(1, size - 1)))


def emptied(path: Path, _: random.Random) -> None:
    path.write_bytes(b"")


def zeros(path: Path, _: random.Random) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def noise(path: Path, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(path.stat().st_size))


def html(path: Path, _: random.Random) -> None:
    path.write_bytes(HTML)


def pointer(path: Path, _: random.Random) -> None:
    path.write_bytes(LFS)


def flipped(path: Path, chance: random.Random) -> None:
    """One bit is another one."""
    content = bytearray(path.read_bytes())
    place = chance.randrange(len(content))
    content[place] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def overwritten(path: Path, chance: random.Random) -> None:
    """A block of the disk holds something else."""
    content = bytearray(path.read_bytes())
    place = chance.randrange(len(content))
    block = chance.randbytes(min(512, len(content) - place))
    content[place : place + len(block)] = block
    path.write_bytes(content)


def a_folder(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path, _: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def a_loop(path: Path, _: random.Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def gone(path: Path, _: random.Random) -> None:
    path.unlink()


PLAIN = (emptied, zeros, noise, html, pointer, a_folder, a_pipe, a_loop)  # whatever the format
SUBTLE = (truncated, flipped, overwritten)  # may leave what is read as it was
