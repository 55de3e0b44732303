"""Images of many bands, 16 bits and floats: which values become which colours."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torchvision.transforms import v2

from psa_core.datasets import cache, index
from psa_core.datasets.decode import examine, fits, read_image, upright_size
from psa_core.datasets.formats.reading import AS_STORED, Reading
from psa_core.datasets.formats.source import DatasetError
from psa_core.delivery import cli
from psa_core.delivery.exports.parts import masked_images
from psa_core.networks.builder import build
from psa_core.networks.files import write_network
from psa_core.runtime.artifacts import write_label_map
from psa_core.training.augmentation import TrainingImages

SIZE = (40, 36)  # height, width
NATURAL = Reading((4, 3, 2), (0, 3000))


@pytest.fixture
def scene(rng):
    """Twelve bands of values up to 6,000."""
    return rng.integers(0, 6000, (*SIZE, 12), dtype=np.uint16)


def expected_of(scene):
    """By integers alone: 3,000 is 255, so a value v is 17 v / 200, a half away from the even."""
    clipped = np.minimum(scene[..., [3, 2, 1]].astype(int), 3000)
    return (2 * 17 * clipped + 200) // 400


@pytest.mark.parametrize("layout", ["bands last", "bands first", "pages", "deflate", "big"])
def test_three_of_twelve_bands(tmp_path, scene, layout):
    path = tmp_path / "a.tif"
    first = scene.transpose(2, 0, 1)
    if layout == "bands first":
        tifffile.imwrite(path, first, photometric="minisblack", planarconfig="separate")
    elif layout == "pages":
        tifffile.imwrite(path, first, photometric="minisblack")
    else:
        compression = "deflate" if layout == "deflate" else None
        tifffile.imwrite(
            path,
            scene,
            photometric="minisblack",
            planarconfig="contig",
            compression=compression,
            bigtiff=layout == "big",
        )
    image = read_image(path, NATURAL)
    assert image.dtype == np.uint8
    assert np.abs(image - expected_of(scene)).max() <= 1  # a half may round either way
    assert (image == expected_of(scene)).mean() > 0.99
    assert examine(path, io.BytesIO(path.read_bytes()), NATURAL) == (SIZE[::-1], [])
    assert upright_size(path) == SIZE[::-1]
    assert not fits(path, (36, 41))


def test_a_big_tiff_of_ordinary_colours_needs_no_keys(tmp_path, rng):
    pixels = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    planes = pixels.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", bigtiff=True)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), pixels)
    assert examine(tmp_path / "a.tif") == (SIZE[::-1], [])


def test_floats_and_grey(tmp_path):
    path = tmp_path / "a.tif"
    values = np.full(SIZE, 0.5, np.float32)
    values[0, :3] = -1, 0.25, 2
    tifffile.imwrite(path, values)
    image = read_image(path, Reading((), (0, 1)))
    assert image.shape == (*SIZE, 3)
    assert image[0, :4].tolist() == [[0] * 3, [64] * 3, [255] * 3, [128] * 3]


def test_a_grey_png_of_16_bits(tmp_path):
    values = np.full(SIZE, 65535, np.uint16)
    values[0, 0] = 257 * 100
    Image.fromarray(values).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", Reading((), (0, 65535)))
    assert image[0, 0].tolist() == [100] * 3
    assert (image[1:] == 255).all()


def test_bands_of_an_ordinary_image(tmp_path, rng):
    """Red and blue exchanged; a photograph on its side is turned as it always is."""
    pixels = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    swapped = read_image(tmp_path / "a.png", Reading((3, 2, 1)))
    np.testing.assert_array_equal(swapped, read_image(tmp_path / "a.png")[..., ::-1])
    np.testing.assert_array_equal(swapped, np.rot90(pixels, -1)[..., ::-1])
    assert swapped.flags.writeable


def write_16_bit_png(path, channels=3):
    """RGB (3) or RGBA (4) of 16 bits, which Pillow cannot write, from the chunks of the format."""
    height, width = SIZE
    rows = b"".join(b"\0" + bytes(2 * channels * width) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        content += struct.pack(">I", len(data)) + kind + data + checksum
    path.write_bytes(content)


def test_colours_of_16_bits_are_not_shortened_without_a_word(tmp_path):
    png, tiff = tmp_path / "a.png", tmp_path / "a.tif"
    write_16_bit_png(png)
    tifffile.imwrite(tiff, np.full((*SIZE, 3), 4095, np.uint16), photometric="rgb")
    for path in (png, tiff):
        assert Image.open(path).mode == "RGB"
        (problem,) = examine(path)[1]
        assert problem.startswith(f"{path}: has more than 8 bits per channel: save it")
    with pytest.raises(DatasetError, match=r"a.png: .*of 16 bits, but no TIFF: save it as TIFF"):
        read_image(png, Reading((), (0, 4095)))
    assert (read_image(tiff, Reading((), (0, 4095))) == 255).all()


def test_transparency_of_16_bits_is_not_shortened_either(tmp_path):
    write_16_bit_png(tmp_path / "a.png", channels=4)
    with pytest.raises(DatasetError, match=r"a.png: .*of 16 bits, but no TIFF"):
        read_image(tmp_path / "a.png", Reading((1, 2, 3), (0, 65535)))


def test_a_webp_and_a_palette_tiff(tmp_path, rng):
    pixels = np.full((*SIZE, 3), (10, 20, 30), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.webp", lossless=True)
    swapped = read_image(tmp_path / "a.webp", Reading((3, 2, 1)))
    np.testing.assert_array_equal(swapped, pixels[..., ::-1])
    Image.fromarray(pixels).convert("P").save(tmp_path / "a.tif")
    with pytest.raises(DatasetError, match=r"a.tif: .*a TIFF of the kind PALETTE: save it as RGB"):
        read_image(tmp_path / "a.tif", Reading((), (0, 100)))


@pytest.mark.parametrize(
    ("values", "reading", "message"),
    [
        (
            np.zeros((*SIZE, 5), np.uint8),
            AS_STORED,
            "has 5 bands: set dataset.bands to",
        ),
        (np.zeros((*SIZE, 5), np.uint8), Reading((), (0, 9)), "has 5 bands: set dataset.bands"),
        (
            np.zeros((*SIZE, 5), np.uint8),
            Reading((7, 5, 6)),
            "has 5 bands, but dataset.bands asks for 7: correct it, or replace the file",
        ),
        (
            np.full((*SIZE, 5), 4011, np.uint16),
            Reading((1, 2, 3)),
            "has values of uint16, 4011 to 4011: save it with 8 bits, or set dataset.value_range",
        ),
        (
            np.full((*SIZE, 5), np.nan, np.float32),
            Reading((1, 2, 3), (0, 1)),
            "has values that are not finite: fill them",
        ),
    ],
)
def test_values_that_are_no_colours(tmp_path, values, reading, message):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig")
    size, problems = examine(path, io.BytesIO(path.read_bytes()), reading)
    assert size is None
    assert len(problems) == 1
    assert problems[0].startswith(f"{path}: {message}")


def test_a_damaged_tiff_is_named(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((*SIZE, 5), np.uint8), planarconfig="contig", photometric="minisblack"
    )
    path.write_bytes(path.read_bytes()[:200])
    for reading in (AS_STORED, NATURAL):
        size, problems = examine(path, io.BytesIO(path.read_bytes()), reading)
        assert size is None
        assert problems[0].startswith(f"{path}: cannot be decoded (")


def test_the_table_says_how_the_stages_read_an_image(tmp_path, scene):
    (tmp_path / "data/images").mkdir(parents=True)
    tifffile.imwrite(
        tmp_path / "data/images/a.tif", scene, photometric="minisblack", planarconfig="contig"
    )
    (tmp_path / "data/labels.csv").write_text("image,labels,split\na.tif,field,train\n")
    dataset = {"format": "folder", "root": str(tmp_path / "data"), "shards": 1, "classes": None}
    dataset |= {"bands": [4, 3, 2], "value_range": [0, 3000]}
    index.write_images(tmp_path / "a.csv", index.describe_images(dataset, ["a"]))
    (row,) = index.read_images(tmp_path / "a.csv")
    assert row.reading == NATURAL
    expected = read_image(row.path, NATURAL)
    np.testing.assert_array_equal(row.read(), expected)

    write_label_map(tmp_path / "a.png", np.zeros((row.height, row.width), np.uint8))
    (exported,) = masked_images([row], [str(tmp_path / "a.png")])
    assert exported.name == "a.tif"
    np.testing.assert_array_equal(exported.photograph(), expected)

    stored = str(tmp_path / "cache.h5")
    cache.write_cache(stored, [row.path], longest_side=None, threads=1, reading=row.reading)
    for where in (None, stored):
        transform = v2.Compose([v2.Identity()])
        images = TrainingImages(
            [row.path], [torch.zeros(1)], transform, seed=0, cache=where, reading=row.reading
        )
        np.testing.assert_array_equal(images[0, 0][0].permute(1, 2, 0), expected)


@pytest.mark.usefixtures("restored")
def test_a_network_knows_how_its_images_are_read(tmp_path, scene, capsys):
    """Tags of a TIFF of many bands are those of its colours, and another network refuses it."""
    settings = {"backbone": "resnet18", "output_stride": 32, "frozen_stages": 0}
    settings |= {"channels": None, "dropout": 0.0}
    network = build("cam", settings, 3, pretrained=False)
    for name, reading in {"bands": NATURAL, "plain": AS_STORED}.items():
        path = tmp_path / f"{name}.safetensors"
        write_network(path, network, "cam", settings, ["a", "b", "c"], images=reading._asdict())
    tifffile.imwrite(tmp_path / "x.tif", scene, photometric="minisblack", planarconfig="contig")
    Image.fromarray(read_image(tmp_path / "x.tif", NATURAL)).save(tmp_path / "x.png")
    tags = []
    for name, image in {"bands": "x.tif", "plain": "x.png"}.items():
        classify = ["classify", str(tmp_path / f"{name}.safetensors"), str(tmp_path / image)]
        assert cli.main([*classify, "--device", "cpu"]) == 0
        tags.append(capsys.readouterr().out.partition(": ")[2])
    assert tags[0] == tags[1] != ""
    assert cli.main(["classify", str(tmp_path / "plain.safetensors"), str(tmp_path / "x.tif")]) == 1
