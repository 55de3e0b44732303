"""Files that the stages exchange: written completely or not at all, read without pickle."""

from __future__ import annotations

import errno
import glob
import gzip
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from psa_core.errors import UserError
from psa_core.runtime.manifests import manifest_of, read_manifest

IGNORE = 255
FLUSHED_TOGETHER = 16  # files: 0.2 ms each where one after the other takes 6 (ext4)
REBUILD = "delete it, and the next run makes it again"  # end of the message about a broken file


def _voc_palette() -> list[int]:
    """VOC's colours, [R, G, B] * 256: three bits of the index at a time, highest bit first."""
    colours = np.zeros((256, 3), np.uint8)
    index = np.arange(256)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((index >> (3 * bit + channel)) & 1).astype(np.uint8) << (
                7 - bit
            )
    return colours.flatten().tolist()


VOC_PALETTE = _voc_palette()


@contextmanager
def replacing(path: str | Path, *, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary file in the folder of `path`; it becomes `path` if the block succeeds.

    Makes the folder. Raises OSError with the path and a remedy where the disk is full.
    flush: wait until the contents are on the disk, so that a power cut leaves the old file or the
    new one. It takes milliseconds: files of single images leave it to their manifest.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        if flush:
            _flush(temporary)
        os.replace(temporary, path)
        if flush:
            with suppress(OSError):  # not every file system can
                _flush(path.parent)
    except Exception as error:
        # HDF5, torch and safetensors hide the error number: look at their text, and at the disk.
        full = any(
            getattr(error, "errno", None) == number or os.strerror(number) in str(error)
            for number in (errno.ENOSPC, errno.EDQUOT)
        )
        if full or shutil.disk_usage(path.parent).free < 2**16:
            raise OSError(
                errno.ENOSPC,
                "the disk or your quota is full: make room and run again, nothing finished is lost",
                str(path),
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_all(files: Iterable[Path]) -> None:
    """Wait until the contents of files are on the disk."""
    with ThreadPoolExecutor(FLUSHED_TOGETHER) as pool:
        list(pool.map(_flush, files))


def remove_left(path: str | Path) -> None:
    """Remove temporary files of `replacing(path)` that killed processes left behind."""
    path = Path(path)
    for left in path.parent.glob(f".{glob.escape(path.stem)}.????????{path.suffix}"):
        left.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_manifest(path: str | Path | None, pattern: str, images: Iterable[str]) -> None:
    """List files with their SHA-256, see `manifests`, once all of them are on the disk.

    path: None writes no list, because a job for a single image makes no manifest.
    pattern: of the files, for example "results/cam/maps/{}.npy". images: the ids to put into it.
    """
    files = [Path(pattern.format(image)) for image in images]
    flush_all(files)
    if path is None:
        return
    text = manifest_of(files)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def listed_images(paths: Iterable[str | Path]) -> set[str]:
    """Ids of the images whose files are listed in manifests.

    paths: files that a job reads; those that do not end in .txt are not manifests.
    """
    return set(read_digests(path for path in paths if Path(path).suffix == ".txt"))


def read_digests(manifests: Iterable[str | Path]) -> dict[str, str]:
    """SHA-256 of each file that manifests list, by image id.

    Raises UserError naming a manifest that is damaged.
    """
    listed = (read_manifest(manifest).items() for manifest in manifests)
    return {Path(name).stem: digest for files in listed for name, digest in files}


def write_label_map(path: str | Path, labels: np.ndarray) -> None:
    """Write uint8 [H, W] class indices as a PNG with VOC's palette."""
    image = Image.fromarray(np.ascontiguousarray(labels, dtype=np.uint8), mode="P")
    image.putpalette(VOC_PALETTE)
    with replacing(path, flush=False) as temporary:
        image.save(temporary)


def write_grey(path: str | Path, values: np.ndarray) -> None:
    """Write [H, W] in [0, 1] as a grey PNG, 255 for 1."""
    with replacing(path, flush=False) as temporary:
        Image.fromarray((255 * values).round().astype(np.uint8)).save(temporary)


def read_label_map(
    path: str | Path, size: tuple[int, int] | None = None, classes: int | None = None
) -> np.ndarray:
    """Read uint8 [H, W] class indices.

    size: (H, W) that it must have; None: any. classes: the highest index but 255; None: any.
    Raises UserError naming a file that is broken, has more than one channel, or another size or
    higher indices than these.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L"):
                raise OSError(f"mode {image.mode}, expected class indices, P or L")
            labels = np.array(image)
    except Exception as error:  # Pillow's decoders raise a dozen types on damaged files
        raise UserError(f"{path}: not a readable label map ({error}); {REBUILD}") from error
    if size is not None and labels.shape != tuple(size):
        raise UserError(
            f"{path}: {labels.shape[1]} x {labels.shape[0]} pixels, expected {size[1]} x "
            f"{size[0]}; {REBUILD}"
        )
    if classes is not None and (highest := labels[labels != IGNORE].max(initial=0)) > classes:
        raise UserError(f"{path}: class index {highest}, there are {classes} classes; {REBUILD}")
    return labels


def write_array(path: str | Path, array: np.ndarray) -> None:
    """Write an array as float16 .npy."""
    with replacing(path, flush=False) as temporary:
        np.save(temporary, array.astype(np.float16))


def read_array(path: str | Path, maps: int) -> np.ndarray:
    """Read a .npy written by `write_array` as float32 [maps, h, w].

    maps: their number. Raises UserError naming a file that is broken, has another shape or holds a
    value that is not finite.
    """
    try:
        # Mapped, so that a damaged header cannot ask for more memory than the file has bytes.
        array = np.load(path, mmap_mode="r").astype(np.float32)
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy evaluates a header, which may raise anything
        raise UserError(f"{path}: not a readable .npy array ({error}); {REBUILD}") from error
    if array.ndim != 3 or len(array) != maps:
        raise UserError(f"{path}: shape {array.shape}, expected [{maps}, h, w]; {REBUILD}")
    if not np.isfinite(array).all():
        raise UserError(f"{path}: holds a value that is not finite; {REBUILD}")
    return array


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as .csv, with four decimal places."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a .csv written by `write_table`.

    Only an empty field is NaN: a class may be named NA. Images and classes are text, even if all
    look like numbers. Raises UserError naming a file that is no table.
    """
    names = {"image": str, "class": str}
    try:
        return pd.read_csv(path, dtype=names, keep_default_na=False, na_values=[""])
    except ValueError as error:  # as which pandas raises all that it cannot read
        reason = str(error).strip()
        raise UserError(f"{path}: not a readable table ({reason}); {REBUILD}") from error


def read_lines(path: str | Path) -> list[str]:
    """Read the lines of a text file written by `write_lines`."""
    return Path(path).read_text(encoding="utf-8").splitlines()


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write a text file, one line per item, for example a list of images."""
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_archive(path: str | Path, files: Iterable[str | Path], *, folder: str | Path) -> None:
    """Write files as .tar.gz, with names relative to `folder`.

    The archive depends only on names and contents, not on times or permissions.
    """
    with (
        replacing(path) as temporary,
        open(temporary, "wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for file in sorted(map(Path, files)):
            member = tarfile.TarInfo(file.relative_to(folder).as_posix())
            member.size = file.stat().st_size
            with open(file, "rb") as content:
                archive.addfile(member, content)


def write_edges(path: str | Path, edges: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write (image id, affinities float16 [P, h, w]) of several images to one HDF5 file."""
    remove_left(path)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for image, affinity in edges:
            file.create_dataset(image, data=affinity, compression="gzip", compression_opts=1)


def read_edges(path: str | Path, image: str) -> np.ndarray:
    """Read the affinities of one image as float32 [P, h, w].

    Raises UserError naming a file that is broken, lacks the image or holds a value outside [0, 1];
    NaN stands for neighbours outside the map, which are whole rows and columns.
    """
    try:
        with h5py.File(path) as file:
            edges = file[image][()].astype(np.float32)
    except (KeyError, OSError) as error:
        raise UserError(f"{path}: no readable edges of {image} ({error}); {REBUILD}") from error
    if edges.ndim != 3 or (edges < 0).any() or (edges > 1).any():
        raise UserError(f"{path}: the edges of {image} are no affinities in [0, 1]; {REBUILD}")
    inside = ~np.isnan(edges)
    if (inside != inside.any(2, keepdims=True) & inside.any(1, keepdims=True)).any():
        raise UserError(f"{path}: the edges of {image} have NaN inside the map; {REBUILD}")
    return edges
