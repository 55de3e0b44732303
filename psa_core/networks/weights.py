"""Weights from files: of the paper's release (PyTorch), of MXNet, of this workflow."""

from __future__ import annotations

import logging
import math
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from psa_core.errors import UserError
from psa_core.networks.metadata import find_metadata, is_safetensors
from psa_core.runtime.files import content_of, refusal

log = logging.getLogger(__name__)

# The release's names of the layers after the backbone, by stage.
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
# Layers of another stage, or of ImageNet's 1000-class classifier: ignored without an error.
FOREIGN = re.compile(r"(fc8|f8_[345]|gn8_[345]|f9|linear1000)\.")


def published_names(network: nn.Module, stage: str) -> dict[str, str]:
    """Published name of each parameter and statistic of a network, by our name.

    Those of the backbone lose their prefix (`backbone.b4_1.bn_branch2a.weight` is published as
    `b4_1.bn_branch2a.weight`), those of the heads are in `HEADS`; layers that were never published
    keep our name. Counters of batch norms are left out, since nothing reads them.
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

    path: `.pth` of the release, `.params` of MXNet, or `network.safetensors` of this workflow (the
    `network.pt` of earlier versions, too). Of another stage's network only the backbone is used.
    complete: raise if any parameter is missing; otherwise layers of the head that are missing keep
    their values, which is logged.
    Raises UserError, with the file, for the first parameter that is missing, unexpected or of
    another shape, and for a file that is damaged or in another format.
    """
    names = published_names(network, stage)
    state = network.state_dict()
    tensors = read(path, stage)
    tensors = {names.get(name, name): tensor for name, tensor in tensors.items()}
    new = []
    for key, name in names.items():
        if name not in tensors:
            if complete or key.startswith("backbone."):
                raise UserError(f"{path}: missing parameter {name} of the {stage} network")
            new.append(name)
        elif tensors[name].shape != state[key].shape:
            raise UserError(
                f"{path}: parameter {name} has shape {tuple(tensors[name].shape)}, expected "
                f"{tuple(state[key].shape)} for the {stage} network"
            )
    known = set(names.values())
    for name in tensors:
        if name not in known and not FOREIGN.match(name):
            raise UserError(f"{path}: unexpected parameter {name} for the {stage} network")
    network.load_state_dict(
        {key: tensors[name] for key, name in names.items() if name in tensors}, strict=False
    )
    log.info("%d tensors from %s; new: %s", len(names) - len(new), path, ", ".join(new) or "none")


def read(path: str | Path, stage: str) -> dict[str, torch.Tensor]:
    """Tensors of a file by published name or ours; see `load`. Runs no code from the file."""
    if reason := refusal(path):
        raise UserError(f"{path}: no weights ({reason}); correct network.weights")
    with open(path, "rb") as file:
        head = file.read(64)
    if content := content_of(head):
        raise UserError(f"{path}: not a readable weights file ({content}); replace it")
    if head[:8] == struct.pack("<Q", LIST_MAGIC):
        arrays = read_mxnet(path)
        return {n: torch.from_numpy(arrays[k]) for k, n in _resnet38_names(path, arrays).items()}
    own_stage = stage
    try:
        if is_safetensors(path):
            own_stage = (find_metadata(path) or {}).get("stage", stage)
            saved = load_file(path)
        else:
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling foreign or damaged bytes can raise anything
        raise UserError(
            f"{path}: not a readable weights file ({_reason(error)}); download it again, or save a "
            "network's state_dict() with torch.save"
        ) from error
    if isinstance(saved, dict) and {"stage", "settings", "classes", "state"} == saved.keys():
        own_stage, saved = saved["stage"], saved["state"]  # network.pt of earlier versions
    if not isinstance(saved, dict) or not all(torch.is_tensor(each) for each in saved.values()):
        keys = (
            f" (its keys: {', '.join(map(str, list(saved)[:5]))})" if hasattr(saved, "keys") else ""
        )
        raise UserError(f"{path}: not a dictionary of tensors{keys}; save a network's state_dict()")
    if own_stage == "prototypes":
        raise UserError(
            f"{path}: made for class maps alone; choose the network.safetensors beside it"
        )
    if own_stage != stage:
        saved = {key: t for key, t in saved.items() if key.startswith("backbone.")}
    return {name: t for name, t in saved.items() if not name.endswith(".num_batches_tracked")}


def _reason(error: Exception) -> str:
    """Why torch cannot load a file, without its advice to run code from it."""
    is_from_file = isinstance(error, RuntimeError | OSError)
    if not is_from_file or "weights_only" in str(error):
        return "no file of PyTorch, or with other objects than tensors"
    return (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]


def _resnet38_names(path: str | Path, arrays: dict[str, np.ndarray]) -> dict[str, str]:
    """Published name of each array of MXNet's ResNet38, such as `arg:res4b1_branch2a_weight`."""
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
            raise UserError(f"{path}: unexpected parameter {key} for ResNet38")
        layer = match["layer"]
        if layer is None:
            block = f"b{match['stage']}" + match["unit"].replace("a", "").replace("b", "_")
            layer = f"{block}.{match['type'].replace('res', 'conv')}_{match['branch']}"
        names[key] = f"{layer}.{kinds[match['kind']]}"
    return names


LIST_MAGIC = 0x112
NO_MAGIC, V1, V2, V3 = 0, 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DTYPES = ["<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8"]  # indexed by MXNet's type code


def read_mxnet(path: str | Path) -> dict[str, np.ndarray]:
    """Arrays by name from a file in MXNet's NDArray-list format (`.params`), read without MXNet.

    Layout, little-endian: uint64 0x112, uint64 0, uint64 number of arrays, the arrays (see
    `_read_array`), uint64 number of names, then for each name uint64 length and its bytes.
    Raises UserError, with the file and the array, if it is truncated, damaged or not dense.
    """
    with open(path, "rb") as file:
        _, _, count = _unpack(path, file, "<QQQ", "the header")
        arrays = [_read_array(path, file, f"array {i + 1} of {count}") for i in range(count)]
        names = list(_read_names(path, file))
    if len(names) != len(arrays):
        raise UserError(f"{path}: {len(names)} names for {len(arrays)} arrays")
    return dict(zip(names, arrays, strict=True))


def _read_names(path: str | Path, file: BinaryIO) -> Iterator[str]:
    (count,) = _unpack(path, file, "<Q", "the names")
    for i in range(count):
        what = f"name {i + 1} of {count}"
        (length,) = _unpack(path, file, "<Q", what)
        name = _read_bytes(path, file, length, what)
        try:
            yield name.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: {what} is not UTF-8; the file is damaged") from error


def _read_array(path: str | Path, file: BinaryIO, what: str) -> np.ndarray:
    """One array of the list.

    Layout: uint32 magic number of the version; in V2 and V3 int32 storage type (0 is dense); uint32
    number of dimensions; each dimension as int64; int32 device type; int32 device; int32 type code;
    data. Before V1 there was no magic number, and dimensions were uint32.
    """
    (first,) = _unpack(path, file, "<I", what)
    version = first if first in (V1, V2, V3) else NO_MAGIC
    if version in (V2, V3):
        (storage,) = _unpack(path, file, "<i", what)
        if storage != 0:
            raise UserError(f"{path}: {what} has storage type {storage}, expected dense (0)")
    dimensions = first if version == NO_MAGIC else _unpack(path, file, "<I", what)[0]
    if not 1 <= dimensions <= 32:
        raise UserError(f"{path}: {what} has {dimensions} dimensions; the file is damaged")
    shape = _unpack(path, file, f"<{dimensions}{'I' if version == NO_MAGIC else 'q'}", what)
    _, _, code = _unpack(path, file, "<iii", what)
    if not 0 <= code < len(DTYPES):
        raise UserError(f"{path}: {what} has type code {code}; the file is damaged")
    if min(shape) < 1:
        raise UserError(f"{path}: {what} has shape {shape}; the file is damaged")
    dtype = np.dtype(DTYPES[code])
    size = math.prod(shape) * dtype.itemsize
    data = _read_bytes(path, file, size, f"{what}, shape {shape},")
    return np.frombuffer(bytearray(data), dtype).reshape(shape)


def _unpack(path: str | Path, file: BinaryIO, layout: str, what: str) -> tuple:
    return struct.unpack(layout, _read_bytes(path, file, struct.calcsize(layout), what))


def _read_bytes(path: str | Path, file: BinaryIO, count: int, what: str) -> bytes:
    left = os.fstat(file.fileno()).st_size - file.tell()
    if not 0 <= count <= left:  # before memory is allocated for it
        raise UserError(f"{path}: truncated within {what}; download it again")
    return file.read(count)
