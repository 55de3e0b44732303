"""Masks whose values or colours are not class indices: `dataset.mask_values`, labelmap.txt."""

import zipfile

import numpy as np
import pytest
from datasets_on_disk import SIZE, check_problem, inventory, write_folder, write_mask, write_text
from PIL import Image

from psa_core.datasets import index
from psa_core.datasets.formats.source import DatasetError
from psa_core.delivery import exports
from psa_core.delivery.exports.parts import MaskedImage

INDICES = np.zeros(SIZE[::-1], np.uint8)  # of the mask of x
INDICES[:4, :20], INDICES[8:20, 10:] = 1, 2
LABELMAP = """# label:color_rgb:parts:actions
background:0,0,0::
dog:250,50,83:head,tail:
cat:61,245,61::
"""
COLOURS = np.array([[0, 0, 0], [61, 245, 61], [250, 50, 83]], np.uint8)  # cat is 1, dog 2


@pytest.fixture
def root(tmp_path):
    return tmp_path / "mine"


@pytest.fixture
def folder(root):
    """With a mask of x alone."""
    dataset = write_folder(root)
    (root / "masks/w.png").unlink()
    Image.fromarray(INDICES).save(root / "masks/x.png")
    return dataset


def mask_of_x(dataset):
    """As the workflow reads it, after the checks of the plan."""
    inventory(dataset)
    ((_, mask),) = index.read_masks(dataset, ["x"])
    return mask


def refused(dataset):
    """The problem with the mask of x, which the plan does not see."""
    inventory(dataset)
    with pytest.raises(DatasetError, match=r"1 problem\(s\)") as error:
        list(index.read_masks(dataset, ["x"]))
    return str(error.value)


# --- values ---------------------------------------------------------------------------------------


def test_values_of_ones_own(folder, root):
    values = np.array([255, 7, 40], np.uint8)
    Image.fromarray(values[INDICES]).save(root / "masks/x.png")
    named = {255: "background", 7: "cat", 40: "dog"}
    assert (mask_of_x({**folder, "mask_values": named}) == INDICES).all()
    texts = {str(value): name for value, name in named.items()}  # as --config passes them
    assert (mask_of_x({**folder, "mask_values": texts}) == INDICES).all()
    assert inventory({**folder, "mask_values": named}).mask_values == [255, 7, 40]


def test_0_is_background_several_values_are_one_class_and_others_are_ignored(folder, root):
    write_mask(root / "masks/x.png", [0, 4, 5, 6, 9])
    named = {4: "cat", 5: "cat", 6: "dog", 9: "ignore"}
    mask = mask_of_x({**folder, "mask_values": named})
    assert mask.flat[:5].tolist() == [0, 1, 1, 2, 255]
    assert inventory({**folder, "mask_values": named}).mask_values == [0, 4, 6]


def test_a_value_that_is_not_listed(folder, root):
    write_mask(root / "masks/x.png", [0, 7, 40, 255])
    problem = refused({**folder, "mask_values": {7: "cat", 40: "dog"}})
    assert "masks/x.png: values [255] are not classes: use [0, 7, 40]" in problem


@pytest.mark.parametrize(
    ("named", "part"),
    [
        ({1: "cat", 2: "dogg"}, "mask_values: 2: 'dogg' is not a class (did you mean 'dog'?)"),
        ({1: "cat", 256: "dog"}, "dataset.mask_values: 256 is not a value of 0 to 255"),
        ({1: "cat", -1: "dog"}, "dataset.mask_values: -1 is not a value of 0 to 255"),
        ({"9" * 5000: "cat", 2: "dog"}, "99' is not a value of 0 to 255"),
        ({"a": "cat", 2: "dog"}, "dataset.mask_values: 'a' is not a value of 0 to 255"),
        ({255: "cat"}, "dataset.mask_values: it lacks 'dog': add each class"),
    ],
)  # fmt: skip
def test_values_that_are_refused(folder, named, part):
    check_problem({**folder, "mask_values": named}, part)


def test_a_class_without_images_has_a_remedy_that_keeps_the_masks(folder):
    change = {"classes": ["cat", "cow", "dog"], "mask_values": {1: "cat", 3: "cow", 2: "dog"}}
    problem = check_problem({**folder, **change}, "no image of train_aug shows cow")
    assert "write dataset.classes: [cat, dog]" in problem


def test_the_meaning_of_the_values_changes_the_digest_of_masks_alone(folder):
    def digests(kind, **change):
        data = inventory({**folder, **change})
        return [data.digest(shard, kind) for shard in data.shards("train_aug")]

    swapped, plain = {1: "dog", 2: "cat"}, {0: "background", 1: "cat", 2: "dog", 255: "ignore"}
    assert digests("masks", mask_values=swapped) != digests("masks")
    assert digests("images", mask_values=swapped) == digests("images")
    assert digests("masks", mask_values=plain) == digests("masks")


# --- colours --------------------------------------------------------------------------------------


def save_palette(path):
    """With indices that are not those of the classes."""
    image = Image.fromarray(2 - INDICES)
    image.putpalette(COLOURS[::-1].tobytes())
    image.save(path)


SAVE = {
    "RGB": lambda path: Image.fromarray(COLOURS[INDICES]).save(path),
    "RGBA": lambda path: Image.fromarray(COLOURS[INDICES]).convert("RGBA").save(path),
    "P": save_palette,
}


@pytest.mark.parametrize("mode", SAVE)
@pytest.mark.parametrize("place", ["masks", "."])
def test_colours_of_a_labelmap(folder, root, mode, place):
    write_text(root / place / "labelmap.txt", LABELMAP)
    SAVE[mode](root / "masks/x.png")
    assert Image.open(root / "masks/x.png").mode == mode
    assert (mask_of_x(folder) == INDICES).all()


def test_grey_and_black_and_white_masks_are_looked_up_as_colours(folder, root):
    write_text(root / "labelmap.txt", "cat:255,255,255::\ndog:128,128,128\nvoid:9,9,9::\n")
    write_mask(root / "masks/x.png", [0, 255, 128, 9])
    assert mask_of_x(folder).flat[:4].tolist() == [0, 1, 2, 255]
    write_mask(root / "masks/x.png", [0, 255], mode="1")
    assert mask_of_x(folder).flat[:2].tolist() == [0, 1]


def test_cvats_export_as_it_is_unpacked(folder, root):
    """This project's own export, whose ignored pixels become background."""
    ignored = np.where(INDICES == 0, np.uint8(255), INDICES)
    ignored[20:] = 0
    images = [MaskedImage("x.jpg", root / "images/x.jpg", ignored)]
    for format in ("cvat", "voc"):
        exports.write(format, root / "export.zip", images, ["cat", "dog"])
        with zipfile.ZipFile(root / "export.zip") as archive:
            archive.extractall(root / format)
    unpacked = {**folder, "classes": ["dog", "cat"], "masks": "cvat"}  # another order
    swapped = np.array([0, 2, 1], np.uint8)[INDICES]
    assert (mask_of_x(unpacked) == swapped).all()
    assert (mask_of_x({**folder, "masks": "cvat/SegmentationClass"}) == INDICES).all()
    assert (mask_of_x({**folder, "masks": "voc"}) == ignored).all()


def test_colours_of_a_photograph_that_is_stored_turned(folder, root):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.open(root / "images/x.jpg").save(root / "images/x.jpg", exif=exif.tobytes())
    write_text(root / "labelmap.txt", LABELMAP)
    SAVE["P"](root / "masks/x.png")
    assert (mask_of_x(folder) == INDICES[::-1, ::-1]).all()


def test_a_colour_that_is_not_listed(folder, root):
    write_text(root / "labelmap.txt", LABELMAP)
    colours = COLOURS[INDICES]
    colours[3, 5], colours[4, 6] = (61, 245, 60), (1, 2, 3)
    Image.fromarray(colours).save(root / "masks/x.png")
    problem = refused(folder)
    expected = "masks/x.png: the colour 61,245,60 (row 3, column 5) and 1 other colours is not that"
    assert expected in problem
    assert "add it there" in problem
    Image.fromarray(INDICES).save(root / "masks/x.png")
    assert "the colour 1,1,1 (row 0, column 0)" in refused(folder)


def test_masks_of_colours_that_are_refused(folder, root):
    write_text(root / "labelmap.txt", LABELMAP)
    clear = Image.fromarray(COLOURS[INDICES]).convert("RGBA")
    clear.putalpha(Image.fromarray(np.where(INDICES == 0, 0, 255).astype(np.uint8)))
    clear.save(root / "masks/x.png")
    assert "masks/x.png: some pixels are transparent" in refused(folder)
    Image.fromarray(INDICES.astype(np.uint16)).save(root / "masks/x.png")
    assert "masks/x.png: mode I;16: save it as an RGB PNG" in refused(folder)


@pytest.mark.parametrize(
    ("text", "change", "part"),
    [
        ("cat:1,2::\ndog:2,2,2::", {}, "labelmap.txt, line 1: 'cat:1,2::': write name:red,green"),
        ("cat:1,2,256::\ndog:2,2,2::", {}, "labelmap.txt, line 1: 'cat:1,2,256::': write name"),
        ("cat:1,1,1::\ndog:1,1,1::", {}, "line 2: 'dog' has the colour of 'cat': give it"),
        ("cat:1,1,1::\ncow:2,2,2::", {}, "labelmap.txt: it lacks 'dog': add each class"),
        (LABELMAP, {"mask_values": {1: "cat", 2: "dog"}}, "labelmap.txt gives the classes by"),
        (LABELMAP, {"masks": "truth"}, "truth: no such folder"),
    ],
)  # fmt: skip
def test_labelmaps_that_are_refused(folder, root, text, change, part):
    write_text(root / "labelmap.txt", text)
    check_problem({**folder, **change}, part)
