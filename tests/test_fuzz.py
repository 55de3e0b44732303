"""Files of any contents: each reader returns something usable or one message, never another error.

Contents are drawn by hypothesis, from anything at all and from what nearly is such a file.
"""

import io
import os
import struct

import numpy as np
import pytest
import tifffile
import torch
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from readers import READERS, readable
from seeds import ROOT

from psa_core.datasets import decode
from psa_core.datasets.foreign_maps import read_foreign
from psa_core.datasets.formats.reading import Reading
from psa_core.datasets.formats.source import image_id
from psa_core.errors import UserError
from psa_core.networks import weights
from psa_core.networks.metadata import find_metadata
from psa_core.runtime import artifacts
from psa_core.runtime.config import complete
from psa_core.runtime.keys import check_keys

SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
BYTES = st.binary(max_size=300)
WORDS = st.sampled_from(
    [
        "cat",
        "dog",
        "polar bear",
        "Cat",
        "é",
        "e\u0301",
        "1",
        "01",
        "background",
        "",
        "['cat', 'dog']",
    ]
)
MARKS = st.sampled_from([",", ";", "|", "\t", " ", '"', "'", "[", "]", "\\", "/", "..", "\r", "\0"])
IMAGES = st.sampled_from(["a.jpg", "b.png", "c", "images/a.jpg", "../a.jpg", "ä ö.jpg", "A.JPG"])


@st.composite
def csv_texts(draw):
    """Nearly a labels.csv: its header, then lines of names, labels and what may separate them."""
    header = draw(st.sampled_from(["image,labels", "image,labels,split", "labels,image", "image"]))
    line = st.lists(st.one_of(WORDS, MARKS), max_size=6).map("".join)
    rows = draw(st.lists(st.builds("{},{}".format, IMAGES, line), max_size=5))
    return "\n".join([header, *rows])


def changed(content):
    """The bytes of a file with some of them replaced, or its end missing."""

    @st.composite
    def strategy(draw):
        edited = bytearray(content)
        for _ in range(draw(st.integers(0, 4))):
            edited[draw(st.integers(0, len(edited) - 1))] = draw(st.integers(0, 255))
        return bytes(edited[: draw(st.integers(0, len(edited)))] if draw(st.booleans()) else edited)

    return strategy()


# --- the user's data ------------------------------------------------------------------------------


@given(st.one_of(csv_texts().map(str.encode), BYTES, BYTES.map(b"image,labels\n".__add__)))
def test_labels_csv(tmp_path, content):
    READERS["labels"](tmp_path / "folder", content)
    READERS["voc_labels"](tmp_path / "devkit", content)


@pytest.mark.parametrize("name", ["classes", "list", "decisions", "labelmap", "voc_list"])
def test_lists_classes_and_decisions(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("fuzz")

    @given(st.one_of(csv_texts().map(str.encode), BYTES))
    def check(content):
        READERS[name](folder / name, content)

    check()


ANNOTATION = b"<annotation><object><name>cat</name></object></annotation>"


@given(st.one_of(BYTES, changed(ANNOTATION), changed(b"<?xml version='1.0'?>" + ANNOTATION)))
def test_annotations(tmp_path, content):
    for name in ("voc_annotation", "voc_xml", "cvat"):
        READERS[name](tmp_path / name, content)


@given(st.text(max_size=60))
def test_ids_are_names_of_files(name):
    """Of one part, whatever the user's names hold."""
    found = image_id(name)
    assert "/" not in found
    assert "\0" not in found
    assert os.path.basename(found) == found


def encoded(mode, kind):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 3, (33, 40), np.uint8)
    Image.fromarray(noise).convert(mode).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGB", "JPEG"), ("L", "PNG"), ("P", "PNG"), ("1", "TIFF")]
)
def test_images_and_masks(tmp_path_factory, mode, kind):
    folder = tmp_path_factory.mktemp("fuzz")

    @given(st.one_of(BYTES, changed(encoded(mode, kind))))
    def check(content):
        path = folder / "image.png"
        is_image = readable(path, decode.read_image, content)
        size, problems = decode.examine(path)
        assert (size is not None) == is_image
        assert all(str(path) in problem for problem in problems)
        readable(path, lambda p: decode.read_mask(p, p), content)
        readable(path, artifacts.read_label_map, content)

    check()


def many_bands():
    file = io.BytesIO()
    bands = np.zeros((40, 36, 5), np.uint16)
    tifffile.imwrite(file, bands, photometric="minisblack", planarconfig="contig")
    return file.getvalue()


@given(st.one_of(BYTES, changed(many_bands())))
def test_images_of_many_bands(tmp_path, content):
    path = tmp_path / "image.tif"
    is_image = readable(path, lambda p: decode.read_image(p, Reading((4, 3, 2), (0, 9))), content)
    size, problems = decode.examine(path, reading=Reading((4, 3, 2), (0, 9)))
    assert (size is not None) == is_image
    assert all(str(path) in problem for problem in problems)


# --- arrays, weights and configurations -----------------------------------------------------------


def saved(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@given(st.one_of(BYTES, changed(saved(np.zeros((2, 3, 4), np.float16)))))
def test_arrays(tmp_path, content):
    path = tmp_path / "a.npy"
    if readable(path, lambda p: artifacts.read_array(p, 2), content):
        assert artifacts.read_array(path, 2).shape[0] == 2
    if readable(path, lambda p: read_foreign(p, 2), content):
        found = read_foreign(path, 2)
        assert found.min() >= 0
        assert found.max() <= 1


def params():
    """MXNet's list of one array [2, 3], V2."""
    header = struct.pack("<QQQ", weights.LIST_MAGIC, 0, 1)
    array = struct.pack("<IiIqqiii", weights.V2, 0, 2, 2, 3, 1, 0, 0) + bytes(24)
    name = b"arg:conv1a_weight"
    return header + array + struct.pack("<QQ", 1, len(name)) + name


def pth():
    file = io.BytesIO()
    torch.save({"conv1a.weight": torch.zeros(2)}, file)
    return file.getvalue()


@given(st.one_of(BYTES, changed(params()), changed(params()[:80]), changed(pth())))
@example(struct.pack("<QQQ", weights.LIST_MAGIC, 0, 2**60))
def test_weights(tmp_path, content):
    assert READERS["params"](tmp_path, params())
    READERS["params"](tmp_path, content)


HEADER = b'{"__metadata__":{"psa":"{}"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
TENSORS = struct.pack("<Q", len(HEADER)) + HEADER + bytes(4)


@given(st.one_of(BYTES, changed(TENSORS)))
def test_network_files(tmp_path, content):
    assert readable(tmp_path / "ok.safetensors", lambda p: weights.read(p, "cam"), TENSORS)
    readable(tmp_path / "a.safetensors", find_metadata, content)
    readable(tmp_path / "a.safetensors", lambda p: weights.read(p, "cam"), content)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.sampled_from(sorted(SCHEMA["properties"])), VALUES, st.data())
def test_configurations(section, value, data):
    inner = SCHEMA["properties"][section].get("properties")
    if inner and data.draw(st.booleans()):
        value = {data.draw(st.sampled_from(sorted(inner))): value}
    config = {"dataset": {"format": "folder", "root": "."}}
    config[section] = (
        {**config[section], **value} if section == "dataset" and isinstance(value, dict) else value
    )
    message = "the configuration is not usable:\n  - "
    try:
        message = None if complete(config, SCHEMA) else message
    except UserError as error:
        message = str(error)
    assert message is None or message.startswith("the configuration is not usable:\n  - ")


YAML = st.lists(
    st.one_of(
        st.sampled_from(
            ["a: ", "b: 1", "{", "}", "[", "]", "\n", "  ", "- ", "? ", "&x ", "*x", "<<: "]
        ),
        st.characters(),
    ),
    max_size=12,
).map("".join)


@given(st.one_of(YAML.map(lambda text: text.encode("utf-8", "surrogatepass")), BYTES))
def test_yaml_files(tmp_path, content):
    readable(tmp_path / "a.yaml", check_keys, content)
