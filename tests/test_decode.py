"""Images and masks are decoded upright; masks of few bits keep their values."""

import os

import numpy as np
import pytest
import tifffile
from datasets_on_disk import write_image, write_mask, write_text
from PIL import Image, ImageOps
from pillow_heif import from_pillow

from psa_core.datasets import bands, decode
from psa_core.datasets.formats.source import DatasetError


def with_orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif.tobytes()


def write_oriented(path, orientation, size=(40, 32)):
    """An image that is white in its stored top left quarter, black elsewhere."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[: size[1] // 2, : size[0] // 2] = 255
    image = Image.fromarray(pixels)
    if path.suffix == ".heic":
        from_pillow(image).save(path, exif=with_orientation(orientation))
    else:
        image.save(path, exif=with_orientation(orientation))


# Where the stored top left quarter is to be seen, by the EXIF standard: (lower half, right half).
QUARTER = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}


def quarter_of(array):
    """(lower half, right half) of the quarter with the greatest mean."""
    height, width = array.shape[:2]
    means = array.reshape(2, height // 2, 2, width // 2, -1).mean((1, 3, 4))
    return tuple(map(int, np.unravel_index(means.argmax(), (2, 2))))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif", "heic"])
@pytest.mark.parametrize("orientation", QUARTER)
def test_images_are_upright(tmp_path, suffix, orientation):
    path = tmp_path / f"x.{suffix}"
    write_oriented(path, orientation)
    size = (40, 32) if orientation < 5 else (32, 40)
    image = decode.read_image(path)
    assert image.shape == (*size[::-1], 3)
    assert quarter_of(image) == QUARTER[orientation]
    assert decode.upright_size(path) == size
    assert decode.examine(path) == (size, [])


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
@pytest.mark.parametrize("orientation", QUARTER)
def test_a_mask_of_the_stored_size_is_turned_with_its_image(tmp_path, suffix, orientation):
    image, mask = tmp_path / f"x.{suffix}", tmp_path / "x.png"
    write_oriented(image, orientation)
    labels = np.zeros((32, 40), np.uint8)
    labels[:16, :20] = 3
    Image.fromarray(labels).save(mask)
    found = decode.read_mask(mask, image)
    assert found.shape == decode.read_image(image).shape[:2]
    assert quarter_of(found) == QUARTER[orientation]
    assert np.unique(found).tolist() == [0, 3]


def test_an_upright_mask_of_a_sideways_image_is_not_turned(tmp_path):
    write_oriented(tmp_path / "x.jpg", 6)  # 32 x 40 upright
    write_mask(tmp_path / "x.png", [5, 0], size=(32, 40))
    assert decode.read_mask(tmp_path / "x.png", tmp_path / "x.jpg")[0, 0] == 5
    assert decode.fits(tmp_path / "x.jpg", (32, 40))
    assert decode.fits(tmp_path / "x.jpg", (40, 32))
    assert not decode.fits(tmp_path / "x.jpg", (40, 33))


def test_a_mask_with_an_orientation_of_its_own_is_turned_once(tmp_path):
    write_oriented(tmp_path / "x.jpg", 3)
    write_oriented(tmp_path / "rgb.png", 3)
    grey = ImageOps.grayscale(Image.open(tmp_path / "rgb.png"))
    grey.save(tmp_path / "x.png", exif=with_orientation(3))
    assert quarter_of(decode.read_mask(tmp_path / "x.png", tmp_path / "x.jpg")) == (1, 1)


def test_damaged_exif_data_do_not_matter(tmp_path):
    write_image(tmp_path / "x.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f garbage")
    assert decode.read_image(tmp_path / "x.jpg").shape == (32, 40, 3)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("mode", ["L", "P"])
def test_masks_of_few_bits_keep_their_values(tmp_path, bits, mode):
    write_image(tmp_path / "x.jpg")
    values = np.arange(32 * 40, dtype=np.uint8).reshape(32, 40) % min(2**bits, 20)
    mask = Image.fromarray(values, mode=mode)
    if mode == "P":
        mask.putpalette([0, 90, 200] * (256 if bits == 8 else 2**bits))
    mask.save(tmp_path / "x.png", bits=bits)
    header = (tmp_path / "x.png").read_bytes()[24:26]  # bits, colour type
    assert header == bytes([bits, {"L": 0, "P": 3}[mode]])
    assert (decode.read_mask(tmp_path / "x.png", tmp_path / "x.jpg") == values).all()


def test_black_and_white_masks_are_background_and_class_1(tmp_path):
    write_image(tmp_path / "x.jpg")
    write_mask(tmp_path / "x.png", [255, 0], mode="1")
    assert decode.read_mask(tmp_path / "x.png", tmp_path / "x.jpg")[0, :3].tolist() == [1, 0, 1]


def test_a_lossy_mask_is_refused_under_any_name(tmp_path):
    write_image(tmp_path / "x.jpg")
    write_mask(tmp_path / "y.jpg", [1])
    (tmp_path / "y.jpg").rename(tmp_path / "x.png")
    with pytest.raises(DatasetError, match=r"x\.png: a lossy JPEG, whatever its name: .* as PNG"):
        decode.read_mask(tmp_path / "x.png", tmp_path / "x.jpg")


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_masks_as_tiff(tmp_path, mode, compression):
    write_image(tmp_path / "x.jpg")
    values = np.arange(32 * 40, dtype=np.uint8).reshape(32, 40) % (2 if mode == "1" else 20)
    mask = Image.fromarray(255 * values if mode == "1" else values)
    if mode == "P":
        mask.putpalette([0, 90, 200] * 256)
    elif mode == "1":
        mask = mask.convert("1")
    mask.save(tmp_path / "x.tif", compression=compression)
    assert np.array_equal(decode.read_mask(tmp_path / "x.tif", tmp_path / "x.jpg"), values)


def test_masks_as_webp_and_tiff_are_read_unless_they_are_lossy(tmp_path):
    write_image(tmp_path / "x.jpg")
    values = np.arange(32 * 40, dtype=np.uint8).reshape(32, 40) % 20
    mask, icc = Image.fromarray(values), b"a chunk of odd length before the pixels"
    for path in (tmp_path / "x.webp", tmp_path / "icc.webp"):
        mask.save(path, lossless=True, icc_profile=icc if path.stem == "icc" else b"")
        assert np.array_equal(decode.read_mask(path, tmp_path / "x.jpg"), values)
    mask.save(tmp_path / "bad.webp", quality=100)
    mask.save(tmp_path / "icc_bad.webp", quality=100, icc_profile=icc)
    mask.save(tmp_path / "bad.tif", compression="jpeg", quality=100)
    for path in ("bad.webp", "icc_bad.webp", "bad.tif"):
        with pytest.raises(DatasetError, match=rf"{path}: a lossy (WEBP|TIFF), whatever its name"):
            decode.read_mask(tmp_path / path, tmp_path / "x.jpg")


@pytest.mark.parametrize(("photometric", "is_read"), [("minisblack", True), ("miniswhite", False)])
def test_tiff_masks_of_inverted_values_are_refused(tmp_path, photometric, is_read):
    write_image(tmp_path / "x.jpg")
    values = np.arange(32 * 40, dtype=np.uint8).reshape(32, 40) % 20
    tifffile.imwrite(tmp_path / "x.tif", values, photometric=photometric)
    if is_read:
        assert np.array_equal(decode.read_mask(tmp_path / "x.tif", tmp_path / "x.jpg"), values)
        return
    with pytest.raises(DatasetError, match=r"x\.tif: a TIFF of the kind L;I, whose values are"):
        decode.read_mask(tmp_path / "x.tif", tmp_path / "x.jpg")


def test_a_webp_of_colours_is_no_mask_of_indices(tmp_path):
    write_image(tmp_path / "x.jpg")
    colours = np.zeros((32, 40, 3), np.uint8)
    colours[..., 1] = 7
    Image.fromarray(colours).save(tmp_path / "x.webp", lossless=True)
    with pytest.raises(DatasetError, match=r"x\.webp: mode RGB, but a mask has one channel"):
        decode.read_mask(tmp_path / "x.webp", tmp_path / "x.jpg")
    assert np.array_equal(decode.read_colours(tmp_path / "x.webp", tmp_path / "x.jpg"), colours)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"\0" * 500, "it holds zeros only"),
        (b"\n<!DOCTYPE html><p>404", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC, AVIF or a video"),
        (b"<?xml version='1.0'?><svg/>", "XML"),
        (b"some text", "not an image"),
    ],
)
def test_what_an_image_is_instead(tmp_path, content, reason):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"x\.jpg: cannot be decoded \({reason}"):
        decode.read_image(tmp_path / "x.jpg")


def test_heic_is_read_under_any_name_where_pillow_heif_is_installed(tmp_path, monkeypatch):
    write_oriented(tmp_path / "x.heic", 6)
    expected = decode.read_image(tmp_path / "x.heic")
    (tmp_path / "x.heic").rename(tmp_path / "x.jpg")  # as some programs name it
    assert np.array_equal(decode.read_image(tmp_path / "x.jpg"), expected)
    for module in (bands, decode):
        monkeypatch.setattr(module, "knows_heic", lambda: False)
    monkeypatch.setattr(Image, "ID", [each for each in Image.ID if each != "HEIF"])
    with pytest.raises(DatasetError, match=r"x\.jpg: .*; pip install pillow-heif makes HEIC"):
        decode.read_image(tmp_path / "x.jpg")


@pytest.mark.parametrize("suffix", ["avif", "heic"])
def test_damaged_files_have_the_decoders_reason(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    write_oriented(path, 1)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DatasetError, match=rf"x\.{suffix}: cannot be decoded") as raised:
        decode.read_image(path)
    assert "pip install" not in str(raised.value)


def test_paths_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    reasons = {
        "pipe": "a pipe, not a file",
        "folder": "a folder, not a file",
        "loop": "Too many levels of symbolic links",
        "device": "a device, not a file",
        "missing": "No such file or directory",
    }
    for name, reason in reasons.items():
        with pytest.raises(DatasetError, match=rf"{name}\.jpg: cannot be decoded \({reason}\)"):
            decode.read_image(tmp_path / f"{name}.jpg")


def test_sizes_of_damaged_files_are_unknown(tmp_path):
    write_text(tmp_path / "x.jpg", "no image")
    assert decode.upright_size(tmp_path / "x.jpg") is None
    assert decode.fits(tmp_path / "x.jpg", (1, 1))
