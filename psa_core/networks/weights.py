"""Weights from files: PyTorch's of the paper's release, MXNet's, those of this workflow."""

from __future__ import annotations

import logging
import math
import pickle
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import nn

log = logging.getLogger(__name__)

# The release's names of what comes after the backbone.
HEADS = {
    "cam": {"classifier": "fc8"},
    "affinity": {
        "reduce.0.0": "f8_3",
        "reduce.0.1": "gn8_3",
        "reduce.1.0": "f8_4",
        "reduce.1.1": "gn8_4",
        "reduce.2.0": "f8_5",
        "reduce.2.1": "gn8_5",
        "join": "f9",
    },
    "segmentation": {},
}
# Of another stage, or of the classifier of ImageNet's 1000 classes: not wanted, but no mistake.
FOREIGN = re.compile(r"(fc8|f8_[345]|gn8_[345]|f9|linear1000)\.")


def published_names(network: nn.Module, stage: str) -> dict[str, str]:
    """Published name of each parameter and statistic of a network, by our name.

    The backbone's stand for themselves (`backbone.b4_1.bn_branch2a.weight` is published as
    `b4_1.bn_branch2a.weight`), the heads' are in `HEADS`; what was never published keeps our name.
    Counters of batch norms, which nothing reads, are left out.
    """
    names = {}
    for key in network.state_dict():
        module, _, kind = key.rpartition(".")
        if kind != "num_batches_tracked":
            module = HEADS[stage].get(module, module.removeprefix("backbone."))
            names[key] = f"{module}.{kind}"
    return names


def load(network: nn.Module, stage: str, path: str | Path, *, complete: bool = False) -> None:
    """Fill a network of a stage ("cam", "affinity", "segmentation") from a file, in place.

    path: `.pth` of the release, `.params` of MXNet, or `network.pt` of this workflow (of another
    stage: its backbone).
    complete: all must be in the file; else the head may stay new, which is logged.
    Raises ValueError, with the file and the first parameter, for one that is missing, unknown or
    of another shape, and for a file that is broken or of another kind.
    """
    names = published_names(network, stage)
    state = network.state_dict()
    tensors = read(path, stage)
    tensors = {names.get(name, name): tensor for name, tensor in tensors.items()}
    new = []
    for key, name in names.items():
        if name not in tensors:
            if complete or key.startswith("backbone."):
                raise ValueError(f"{path}: no parameter {name}, which the {stage} network has")
            new.append(name)
        elif tensors[name].shape != state[key].shape:
            raise ValueError(
                f"{path}: parameter {name} has shape {tuple(tensors[name].shape)}, in the {stage} "
                f"network it has {tuple(state[key].shape)}"
            )
    known = set(names.values())
    for name in tensors:
        if name not in known and not FOREIGN.match(name):
            raise ValueError(f"{path}: parameter {name} is none of the {stage} network")
    network.load_state_dict(
        {key: tensors[name] for key, name in names.items() if name in tensors}, strict=False
    )
    log.info("%d tensors from %s; new: %s", len(names) - len(new), path, ", ".join(new) or "none")


# What torch.load raises for a file that is damaged, or none of its own.
UNREADABLE = (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError)


def read(path: str | Path, stage: str) -> dict[str, torch.Tensor]:
    """Tensors of a file by published name (or ours); see `load`. Runs no code of the file."""
    with open(path, "rb") as file:
        is_mxnet = file.read(8) == struct.pack("<Q", LIST_MAGIC)
    if is_mxnet:
        arrays = read_mxnet(path)
        return {n: torch.from_numpy(arrays[k]) for k, n in _resnet38_names(path, arrays).items()}
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise ValueError(f"{path}: not a readable file of weights ({error})") from error
    if isinstance(saved, dict) and {"stage", "settings", "classes", "state"} == saved.keys():
        is_same, state = saved["stage"] == stage, saved["state"]
        saved = {key: t for key, t in state.items() if is_same or key.startswith("backbone.")}
    if not isinstance(saved, dict) or not all(torch.is_tensor(each) for each in saved.values()):
        raise ValueError(f"{path}: not a dictionary of tensors; save a network's state_dict()")
    return {name: t for name, t in saved.items() if not name.endswith(".num_batches_tracked")}


def _resnet38_names(path: str | Path, arrays: dict[str, np.ndarray]) -> dict[str, str]:
    """Published name of each array of MXNet's ResNet38, `arg:res4b1_branch2a_weight` and so on."""
    kinds = {
        "weight": "weight",
        "gamma": "weight",
        "beta": "bias",
        "bias": "bias",
        "moving_mean": "running_mean",
        "moving_var": "running_var",
    }
    pattern = re.compile(
        r"(?:arg:|aux:)?"
        r"(?:(?P<type>res|bn)(?P<stage>\d)(?P<unit>a|b\d)_(?P<branch>branch\w+?)|(?P<layer>\w+?))"
        r"_(?P<kind>weight|gamma|beta|bias|moving_mean|moving_var)"
    )
    names = {}
    for key in arrays:
        match = pattern.fullmatch(key)
        if match is None:
            raise ValueError(f"{path}: parameter {key} is none of ResNet38")
        layer = match["layer"]
        if layer is None:
            block = f"b{match['stage']}" + match["unit"].replace("a", "").replace("b", "_")
            layer = f"{block}.{match['type'].replace('res', 'conv')}_{match['branch']}"
        names[key] = f"{layer}.{kinds[match['kind']]}"
    return names


LIST_MAGIC = 0x112
NO_MAGIC, V1, V2, V3 = 0, 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DTYPES = ["<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8"]  # by MXNet's code


def read_mxnet(path: str | Path) -> dict[str, np.ndarray]:
    """Arrays by name of a file in MXNet's NDArray-list format (`.params`), read without MXNet.

    All is little-endian: uint64 0x112, uint64 0, uint64 count, the arrays (see `_read_array`),
    uint64 count of names, and for each uint64 length and its bytes.
    Raises ValueError, with the file and the array at fault, where it is truncated or not dense.
    """
    with open(path, "rb") as file:
        _, _, count = _unpack(path, file, "<QQQ", "the header")
        arrays = [_read_array(path, file, f"array {i + 1} of {count}") for i in range(count)]
        names = list(_read_names(path, file))
    if len(names) != len(arrays):
        raise ValueError(f"{path}: {len(names)} names for {len(arrays)} arrays")
    return dict(zip(names, arrays, strict=True))


def _read_names(path: str | Path, file: BinaryIO) -> Iterator[str]:
    (count,) = _unpack(path, file, "<Q", "the names")
    for i in range(count):
        what = f"name {i + 1} of {count}"
        (length,) = _unpack(path, file, "<Q", what)
        yield _read_bytes(path, file, length, what).decode()


def _read_array(path: str | Path, file: BinaryIO, what: str) -> np.ndarray:
    """One array of the list.

    uint32 magic of the version, in V2 and V3 int32 storage type (0 is dense), uint32 number of
    dimensions, int64 each, int32 device type, int32 device, int32 code of the dtype, data. Before
    V1 there was no magic, and dimensions were uint32.
    """
    (first,) = _unpack(path, file, "<I", what)
    version = first if first in (V1, V2, V3) else NO_MAGIC
    if version in (V2, V3):
        (storage,) = _unpack(path, file, "<i", what)
        if storage != 0:
            raise ValueError(f"{path}: {what} has storage type {storage}, only dense (0) is read")
    dimensions = first if version == NO_MAGIC else _unpack(path, file, "<I", what)[0]
    if not 1 <= dimensions <= 32:
        raise ValueError(f"{path}: {what} has {dimensions} dimensions; the file is broken")
    shape = _unpack(path, file, f"<{dimensions}{'I' if version == NO_MAGIC else 'q'}", what)
    _, _, code = _unpack(path, file, "<iii", what)
    if not 0 <= code < len(DTYPES):
        raise ValueError(f"{path}: {what} has dtype code {code}; the file is broken")
    dtype = np.dtype(DTYPES[code])
    data = _read_bytes(path, file, math.prod(shape) * dtype.itemsize, f"{what}, shape {shape},")
    return np.frombuffer(bytearray(data), dtype).reshape(shape)


def _unpack(path: str | Path, file: BinaryIO, layout: str, what: str) -> tuple:
    return struct.unpack(layout, _read_bytes(path, file, struct.calcsize(layout), what))


def _read_bytes(path: str | Path, file: BinaryIO, count: int, what: str) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ValueError(f"{path}: the file ends within {what}; it is truncated, get it again")
    return data
