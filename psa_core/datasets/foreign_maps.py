"""Class activation maps that another method made, in the user's folder `cam.maps`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from psa_core.errors import UserError
from psa_core.runtime.files import refusal


def read_foreign(path: str | Path, count: int) -> np.ndarray:
    """Read class activation maps of another method, each divided by its maximum (paper, eq. 1).

    path: .npy file, float [K, h, w] of any h and w, finite and at least 0, in class order.
    count: K, the number of the image's labels.
    Returns float32 [K, h, w] in [0, 1]; a map of zeros remains zero.
    Raises UserError, naming file, value and remedy, for any other file.
    """
    if reason := refusal(path):
        raise UserError(f"{path}: not a .npy array ({reason}); save it with numpy.save")
    try:
        maps = np.load(path, mmap_mode="r")  # no memory for more than the file holds
    except Exception as error:  # numpy evaluates a header, which may raise anything
        raise UserError(f"{path}: not a .npy array ({error}); save it with numpy.save") from error
    if not isinstance(maps, np.ndarray) or maps.dtype.kind != "f":
        found = getattr(maps, "dtype", "several arrays")
        raise UserError(f"{path}: {found} instead of floats; save maps.astype('float32')")
    if maps.ndim != 3 or len(maps) != count or not maps.size:
        raise UserError(
            f"{path}: shape {maps.shape}, expected [{count}, h, w]; save one map for each of the "
            "image's labels, in class order"
        )
    if not np.isfinite(maps).all() or maps.min() < 0:
        value = maps[~(maps >= 0) | np.isinf(maps)][0]
        raise UserError(f"{path}: holds {value}; maps are finite and at least 0, rectify them")
    greatest = maps.max((1, 2), keepdims=True).astype(np.float64)
    return (maps / np.where(greatest > 0, greatest, 1)).astype(np.float32)
