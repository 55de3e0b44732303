"""Exports: what each format holds, read back by pycocotools and, slowly, by other libraries."""

import io
import json
import subprocess
import sys
import venv
import zipfile

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw
from pycocotools import mask as rle
from pycocotools.coco import COCO
from seeds import ROOT

from psa_core.datasets.formats.source import DatasetError
from psa_core.delivery.cli import main
from psa_core.delivery.exports import FORMATS, write
from psa_core.delivery.exports.outlines import outline
from psa_core.delivery.exports.parts import MaskedImage, Part, parts
from psa_core.delivery.exports.voc import objects

NAMES = ["cat", "polar bear"]
MASKS = {
    "empty": [
        "........",
        "........",
        "........",
    ],
    "hole": [
        "11111111",
        "1......1",
        "1.11.1.1",
        "1......1",
        "11111111",
    ],
    "parts and classes that touch": [
        "11122.11",
        "11122.11",
        "...2....",
    ],
    "specks and ignored pixels": [
        "1......2",
        "..####..",
        "..#22#.1",
    ],
    "diagonal": [
        "1......1",
        ".1....1.",
        "..1..1..",
        "...11...",
        "..1..1..",
    ],
    "holes that touch": [
        "111111",
        "1.1111",
        "11.111",
        "111111",
        "11.11.",
    ],
    "thin": [
        "1.2.2.2.",
        "1.222.2.",
        "1.....2.",
        "111111..",
    ],
}


def mask_of(rows: list[str]) -> np.ndarray:
    """Class indices uint8 [H, W] of a drawing; # is ignored."""
    values = {".": 0, "1": 1, "2": 2, "#": 255}
    return np.array([[values[pixel] for pixel in row] for row in rows], np.uint8)


@pytest.fixture
def images(tmp_path) -> list[MaskedImage]:
    """One image for each drawing, in folder/ and with spaces in its name."""
    found = []
    for name, rows in sorted(MASKS.items()):
        labels = mask_of(rows)
        path = tmp_path / f"images/folder/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", labels.shape[::-1], "red").save(path)
        found.append(MaskedImage(f"folder/{name}.png", path, labels))
    return found


@pytest.fixture
def export(images, tmp_path):
    """Write the images in a format; returns the file."""

    def written(format):
        path = tmp_path / FORMATS[format]
        write(format, path, images, NAMES)
        return path

    return written


@pytest.fixture
def unpacked(export, tmp_path):
    """Write the images in a format of a zip file; returns the folder of its contents."""

    def folder(format):
        with zipfile.ZipFile(export(format)) as archive:
            archive.extractall(tmp_path / format)
        return tmp_path / format

    return folder


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def label_map(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.array(image)


# --- parts and outlines ---------------------------------------------------------------------------


def test_parts_are_connected_over_corners_and_never_over_classes():
    found = parts(mask_of(["1.2.", "12.1", "...1"]))
    assert [(p.class_index, p.top, p.left, p.pixels.tolist()) for p in found] == [
        (1, 0, 0, [[True], [True]]),
        (1, 1, 3, [[True], [True]]),
        (2, 0, 1, [[False, True], [True, False]]),
    ]


def test_the_outline_follows_the_edges_of_the_pixels():
    part = Part(1, 2, 4, np.array([[1, 1], [1, 0]], bool))  # rows 2 and 3, columns 4 and 5
    points = {tuple(point) for point in outline(part, inset=0.125).tolist()}
    assert points == {
        (4.125, 2.125),
        (5.875, 2.125),
        (5.875, 2.875),
        (4.875, 2.875),
        (4.875, 3.875),
        (4.125, 3.875),
    }


def filled(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A polygon as pycocotools decodes it: bool [H, W]."""
    return rle.decode(rle.merge(rle.frPyObjects([points.flatten().tolist()], *size))).astype(bool)


@pytest.mark.parametrize("density", [0.2, 0.5, 0.6, 0.8])
def test_outlines_of_noise_are_exact(rng, density):
    """Noise has parts in holes of parts, and pieces and holes that touch at corners."""
    labels = (rng.random((24, 31)) < density).astype(np.uint8)
    for part in parts(labels):
        expected = np.zeros(labels.shape, bool)
        expected[part.box] = part.pixels
        np.testing.assert_array_equal(filled(outline(part, inset=0.01), labels.shape), expected)


# --- COCO -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["coco", "coco_polygons"])
def test_coco_gives_each_part_exactly(export, images, format):
    coco = COCO(export(format))
    assert [each["name"] for each in coco.loadCats([1, 2])] == NAMES
    assert len(coco.imgs) == len(images)
    for described, image in zip(coco.imgs.values(), images, strict=True):
        assert described["file_name"] == image.name
        assert (described["height"], described["width"]) == image.labels.shape
        annotations = coco.imgToAnns[described["id"]]
        assert len(annotations) == len(parts(image.labels))
        decoded = np.zeros_like(image.labels)
        for annotation in annotations:
            mask = coco.annToMask(annotation)
            assert annotation["iscrowd"] == 0
            assert annotation["area"] == mask.sum()
            assert annotation["bbox"] == rle.toBbox(rle.encode(np.asfortranarray(mask))).tolist()
            decoded += mask * np.uint8(annotation["category_id"])
        np.testing.assert_array_equal(decoded, np.where(image.labels == 255, 0, image.labels))


def test_polygons_are_lists_of_one_polygon(export):
    content = json.loads(export("coco_polygons").read_text())
    assert {len(each["segmentation"]) for each in content["annotations"]} == {1}


def test_the_score_of_an_annotation_is_its_mean_confidence(tmp_path):
    confidence = np.array([[51, 102, 0, 255]], np.uint8)
    image = MaskedImage("a.png", tmp_path, np.array([[1, 1, 0, 2]], np.uint8), confidence)
    write("coco", tmp_path / "coco.json", [image], NAMES)
    annotations = json.loads((tmp_path / "coco.json").read_text())["annotations"]
    assert [each["score"] for each in annotations] == [0.3, 1.0]


# --- YOLO -----------------------------------------------------------------------------------------


def test_yolo_has_the_layout_of_ultralytics(unpacked, images):
    folder = unpacked("yolo")
    stems = [image.name.removesuffix(".png") for image in images]
    expected = {f"images/{stem}.png" for stem in stems} | {f"labels/{stem}.txt" for stem in stems}
    assert files_in(folder) == expected | {"data.yaml"}
    description = yaml.safe_load((folder / "data.yaml").read_text())
    assert description == {"train": "images", "val": "images", "names": {0: "cat", 1: "polar bear"}}
    assert (folder / "labels/folder/empty.txt").read_text() == ""
    for image, stem in zip(images, stems, strict=True):
        assert (folder / f"images/{image.name}").read_bytes() == image.path.read_bytes()
        rows = [row.split() for row in (folder / f"labels/{stem}.txt").read_text().splitlines()]
        assert [int(row[0]) + 1 for row in rows] == [p.class_index for p in parts(image.labels)]
        assert all(len(row) >= 7 and len(row) % 2 == 1 for row in rows)  # three points or more
        assert all(0 <= float(value) <= 1 for row in rows for value in row[1:])


@pytest.mark.parametrize("to_pixels", [np.floor, np.round])
def test_yolo_polygons_filled_with_their_border_are_exact(unpacked, images, to_pixels):
    """Pillow fills like OpenCV. Readers truncate (Ultralytics) or round (supervision)."""
    folder = unpacked("yolo")
    for image in images:
        size = image.labels.shape[::-1]
        decoded = Image.new("L", size)
        for row in (folder / "labels" / f"{image.name[:-4]}.txt").read_text().splitlines():
            number, *values = row.split()
            points = to_pixels(np.array(values, np.float32).reshape(-1, 2) * size)
            corners = [tuple(point) for point in points.astype(int).tolist()]
            ImageDraw.Draw(decoded).polygon(corners, fill=int(number) + 1, outline=int(number) + 1)
        np.testing.assert_array_equal(decoded, np.where(image.labels == 255, 0, image.labels))


@pytest.mark.parametrize("name", ["no", "a: b", '"quoted"', "# Bär", "1"])
def test_any_class_name_is_a_text_in_data_yaml(tmp_path, name):
    write("yolo", tmp_path / "yolo.zip", [], [name])
    with zipfile.ZipFile(tmp_path / "yolo.zip") as archive:
        assert yaml.safe_load(archive.read("data.yaml"))["names"] == {0: name}


# --- LabelMe --------------------------------------------------------------------------------------


def test_labelme_has_a_json_beside_each_image(unpacked, images):
    folder = unpacked("labelme")
    stems = {image.name.removesuffix(".png") for image in images}
    assert files_in(folder) == {f"{stem}.{suffix}" for stem in stems for suffix in ("png", "json")}
    for image in images:
        path = folder / image.name
        content = json.loads(path.with_suffix(".json").read_text())
        assert content["imagePath"] == path.name
        assert content["imageData"] is None
        assert (content["imageHeight"], content["imageWidth"]) == image.labels.shape
        decoded = np.zeros_like(image.labels)
        for shape in content["shapes"]:
            assert shape["shape_type"] == "polygon"
            index = np.uint8(NAMES.index(shape["label"]) + 1)
            decoded += filled(np.array(shape["points"]), image.labels.shape) * index
        np.testing.assert_array_equal(decoded, np.where(image.labels == 255, 0, image.labels))


# --- CVAT and VOC ---------------------------------------------------------------------------------


def test_cvat_has_the_documented_layout(unpacked, images):
    folder = unpacked("cvat")
    stems = [image.name.removesuffix(".png") for image in images]
    lists = {"labelmap.txt", "ImageSets/Segmentation/default.txt"}
    kinds = ("SegmentationClass", "SegmentationObject")
    assert files_in(folder) == lists | {f"{kind}/{stem}.png" for kind in kinds for stem in stems}
    assert (folder / "labelmap.txt").read_text().splitlines() == [
        "# label:color_rgb:parts:actions",
        "background:0,0,0::",
        "cat:128,0,0::",
        "polar bear:0,128,0::",
    ]
    assert (folder / "ImageSets/Segmentation/default.txt").read_text().splitlines() == stems
    for image, stem in zip(images, stems, strict=True):
        labels = label_map(folder / f"SegmentationClass/{stem}.png")
        np.testing.assert_array_equal(labels, np.where(image.labels == 255, 0, image.labels))
    # Colours are those of labelmap.txt.
    with Image.open(folder / "SegmentationClass/folder/thin.png") as image:
        colours = image.convert("RGB")
    assert [colours.getpixel(at) for at in ((0, 0), (1, 0), (2, 0))] == [
        (128, 0, 0),
        (0, 0, 0),
        (0, 128, 0),
    ]


def test_voc_has_images_and_keeps_ignored_pixels(unpacked, images):
    folder = unpacked("voc")
    assert (folder / "labelmap.txt").read_text().endswith("bear:0,128,0::\nignored:224,224,192::\n")
    stem = "folder/specks and ignored pixels"
    expected = mask_of(MASKS["specks and ignored pixels"])
    np.testing.assert_array_equal(label_map(folder / f"SegmentationClass/{stem}.png"), expected)
    np.testing.assert_array_equal(
        label_map(folder / f"SegmentationObject/{stem}.png"),
        [
            [1, 0, 0, 0, 0, 0, 0, 3],
            [0, 0, 255, 255, 255, 255, 0, 0],
            [0, 0, 255, 4, 4, 255, 0, 2],
        ],
    )
    for image in images:
        assert (folder / f"JPEGImages/{image.name}").read_bytes() == image.path.read_bytes()


def test_more_parts_than_numbers_are_one_object_per_class():
    labels = np.zeros((32, 64), np.uint8)
    labels[::2, ::4] = 1
    labels[0, 0] = 2
    assert objects(labels).max() == 2  # 16 x 16 parts
    labels[30, :8] = 0
    assert objects(labels).max() == 254


@pytest.mark.parametrize("format", ["cvat", "voc"])
def test_a_class_name_with_a_colon_is_refused(tmp_path, format):
    with pytest.raises(DatasetError, match=r"class 'a:b': labelmap.txt separates .* rename"):
        write(format, tmp_path / "file.zip", [], ["a:b"])
    assert list(tmp_path.iterdir()) == []


# --- overlays -------------------------------------------------------------------------------------


def test_overlays_are_the_photographs_under_their_masks(tmp_path):
    path, labels = tmp_path / "my cat.png", np.zeros((64, 96), np.uint8)
    Image.new("RGB", (96, 64), (100, 100, 100)).save(path)
    labels[:, 48:] = 1
    write(
        "overlays", tmp_path / "overlays.zip", [MaskedImage("cats/my cat.png", path, labels)], NAMES
    )
    with zipfile.ZipFile(tmp_path / "overlays.zip") as archive:
        assert archive.namelist() == ["legend.svg", "cats/my cat.jpg"]
        assert b">polar bear<" in archive.read("legend.svg")
        picture = np.array(Image.open(archive.open("cats/my cat.jpg")))
    np.testing.assert_allclose(picture[:, :40], 100, atol=2)
    # 0.45 * (86, 180, 233) + 0.55 * 100
    np.testing.assert_allclose(
        picture[:, 56:], np.broadcast_to([94, 136, 160], (64, 40, 3)), atol=4
    )


def test_overlays_are_upright_as_the_masks_are(tmp_path):
    path, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.new("RGB", (40, 20)).save(path, exif=exif)
    image = MaskedImage("turned.jpg", path, np.zeros((40, 20), np.uint8))
    write("overlays", tmp_path / "overlays.zip", [image], [])
    with zipfile.ZipFile(tmp_path / "overlays.zip") as archive:
        picture = Image.open(archive.open("turned.jpg"))
        assert picture.size == (20, 40)
        assert 0x0112 not in picture.getexif()


def test_an_overlay_too_long_for_jpeg_is_a_png(tmp_path):
    path = tmp_path / "long.png"
    Image.new("RGB", (65_501, 1)).save(path)
    image = MaskedImage("long.png", path, np.zeros((1, 65_501), np.uint8))
    write("overlays", tmp_path / "overlays.zip", [image], NAMES)
    with zipfile.ZipFile(tmp_path / "overlays.zip") as archive:
        assert Image.open(archive.open("long.png")).size == (65_501, 1)


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_images_give_the_same_bytes(export, format):
    first = export(format).read_bytes()
    assert export(format).read_bytes() == first


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    """images/a.jpg, images/sub/my b.png and their masks, one in a folder, one with its id."""
    for name in ("a.jpg", "sub/my b.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4)).save(path)
    (tmp_path / "masks").mkdir()
    for name, value in {"a": 1, "sub__my_b": 2}.items():
        Image.fromarray(np.full((4, 6), value, np.uint8)).save(tmp_path / f"masks/{name}.png")
    (tmp_path / "classes.txt").write_text("background\ncat\ndog\n")
    return tmp_path


def psa_export(folder, format="coco", *more) -> tuple[str, ...]:
    options = ("--images", f"{folder}/images", "--classes", f"{folder}/classes.txt")
    options += ("--format", format, "--output", f"{folder}/{FORMATS[format]}")
    return ("export", f"{folder}/masks", *options, *more)


def test_the_command_finds_the_image_of_each_mask(folders, capsys):
    assert main(psa_export(folders)) == 0
    assert "coco.json: 2 images" in capsys.readouterr().out
    content = json.loads((folders / "coco.json").read_text())
    assert [each["name"] for each in content["categories"]] == ["cat", "dog"]
    assert [each["file_name"] for each in content["images"]] == ["a.jpg", "sub/my b.png"]
    assert [each["category_id"] for each in content["annotations"]] == [1, 2]


def test_the_command_reads_confidences(folders):
    (folders / "confidence").mkdir()
    for name in ("a", "sub__my_b"):
        path = folders / f"confidence/{name}.png"
        Image.fromarray(np.full((4, 6), 102, np.uint8)).save(path)
    assert main(psa_export(folders, "coco", "--confidence", f"{folders}/confidence")) == 0
    content = json.loads((folders / "coco.json").read_text())
    assert [each["score"] for each in content["annotations"]] == [0.4, 0.4]


def test_missing_confidences_are_named(folders, capsys):
    asked = psa_export(folders, "coco", "--confidence", f"{folders}/confidence")
    assert main(asked) == 2
    assert (
        "confidence: no such folder: make it by psa predict --confidence" in capsys.readouterr().err
    )
    (folders / "confidence").mkdir()
    assert main(asked) == 2
    assert "confidence/a.png: no such file" in capsys.readouterr().err


def test_python_m_psa_core_is_the_command(folders):
    command = [sys.executable, "-m", "psa_core", *psa_export(folders, "cvat")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (folders / "cvat.zip").exists()


def rename_image(folder):
    (folder / "images/a.jpg").rename(folder / "images/c.jpg")
    (folder / "images/sub/my b.png").unlink()


def add_twin(folder):
    Image.new("RGB", (6, 4)).save(folder / "images/a.png")


def other_size(folder):
    Image.new("RGB", (5, 4)).save(folder / "images/a.jpg")


def colours(folder):
    Image.new("RGB", (6, 4)).save(folder / "masks/a.png")


def fewer_classes(folder):
    (folder / "classes.txt").write_text("cat\n")


def no_classes(folder):
    (folder / "classes.txt").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename_image, "none of its 2 PNG files is the mask of an image in"),
        (add_twin, "masks/a.png: the mask of a.jpg or of a.png in"),
        (other_size, "masks/a.png: 6 x 4 pixels, but"),
        (colours, "masks/a.png: cannot be read as a grey or palette PNG of 8 bits"),
        (fewer_classes, "masks/sub__my_b.png: values [2], but --classes names 1 classes"),
        (no_classes, "classes.txt: no such file"),
    ],
)
def test_an_error_is_one_sentence_and_leaves_no_file(folders, capsys, change, message):
    change(folders)
    assert main(psa_export(folders)) == 2
    assert message in capsys.readouterr().err
    assert list(folders.glob("*coco*")) == []


def test_the_suffix_of_the_output_is_that_of_the_format(folders, capsys):
    arguments = [*psa_export(folders, "yolo"), "--output", f"{folders}/yolo"]
    assert main(arguments) == 2
    assert "the format yolo is a .zip file" in capsys.readouterr().err


# --- the workflow ---------------------------------------------------------------------------------


def test_the_workflow_exports_its_masks(finished):
    coco = COCO(finished / "results/export/pseudo_labels/coco.json")
    assert len(coco.imgs) == 12
    for image in coco.imgs.values():
        stem = image["file_name"].removesuffix(".jpg")
        expected = np.array(Image.open(finished / f"results/pseudo_labels/{stem}.png"))
        decoded = np.zeros_like(expected)
        for annotation in coco.imgToAnns[image["id"]]:
            decoded += coco.annToMask(annotation) * np.uint8(annotation["category_id"])
        np.testing.assert_array_equal(decoded, np.where(expected == 255, 0, expected))
    with zipfile.ZipFile(finished / "results/export/predictions/yolo.zip") as archive:
        names = archive.namelist()
        images = [name for name in names if name.startswith("images/")]
        with Image.open(io.BytesIO(archive.read(images[0]))) as image:
            assert image.format == "JPEG"
    assert len(images) == len([name for name in names if name.startswith("labels/")]) == 4


def test_a_deleted_mask_comes_back_and_into_the_export(stubbed, tmp_path):
    run = stubbed.copy(tmp_path / "run")
    target = ("results/export/pseudo_labels/coco.json",)
    assert run.plan(targets=target) == {}
    (run.folder / "results/pseudo_labels/t0.png").unlink()
    assert run.plan(targets=target) == {"make_pseudo_labels_of_image": 1, "export": 1}


# --- other libraries ------------------------------------------------------------------------------

READ = """
import json, sys
import numpy as np
from PIL import Image

folder, masks, images = sys.argv[1:]


def worst(read):
    lowest = 1.0
    for stem, found in read:
        expected = np.array(Image.open(f"{masks}/{stem}.png"))
        for index in {*np.unique(expected[expected < 255]).tolist(), *found} - {0}:
            of_class = expected == index
            got = found.get(index, np.zeros_like(of_class))
            lowest = min(lowest, (got & of_class).sum() / (got | of_class).sum())
    return float(lowest)


def joined(pairs):
    found = {}
    for index, mask in pairs:
        found[index] = found.get(index, False) | mask.astype(bool)
    return found
"""

SUPERVISION = """
import supervision as sv
from pathlib import Path


def read(data):
    for path, _, found in data:
        masks = [] if found.mask is None else found.mask
        yield Path(path).stem, joined(zip((found.class_id + 1).tolist(), masks))


yolo = sv.DetectionDataset.from_yolo(
    f"{folder}/yolo/images", f"{folder}/yolo/labels", f"{folder}/yolo/data.yaml", force_masks=True
)
coco = sv.DetectionDataset.from_coco(images, f"{folder}/coco.json", force_masks=True)
result = {"classes": yolo.classes, "images": [len(yolo), len(coco)]}
print(json.dumps(result | {"worst": [worst(read(yolo)), worst(read(coco))]}))
"""

DATUMARO = """
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset


def read(data):
    for item in data:
        masks = [each for each in item.annotations if each.type == AnnotationType.mask]
        yield item.id, joined((each.label, each.image) for each in masks if each.label < 7)


cvat, voc = (Dataset.import_from(f"{folder}/{f}", "voc_segmentation") for f in ("cvat", "voc"))
labels = [label.name for label in voc.categories()[AnnotationType.label]]
assert labels[0] == "background" and labels[7] == "ignored"
result = {"classes": labels[1:7], "images": [len(cvat), len(voc)]}
print(json.dumps(result | {"worst": [worst(read(cvat)), worst(read(voc))]}))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "script"),
    [("supervision==0.31.*", SUPERVISION), ("datumaro==1.13.*", DATUMARO)],
    ids=["supervision", "datumaro"],
)
def test_another_library_reads_the_same_masks(tmp_path, library, script):
    """In an environment of its own, since its dependencies are not those of this project."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv/bin/python")
    packages = [library, "pycocotools"]
    subprocess.run([python, "-I", "-m", "pip", "install", "--quiet", *packages], check=True)
    scenes = ROOT / "examples/scenes"
    (tmp_path / "classes.txt").write_text("cat\ncow\ndog\nhorse\nperson\nsheep\n")
    for format, file in FORMATS.items():
        arguments = ("--images", f"{scenes}/images", "--classes", f"{tmp_path}/classes.txt")
        arguments += ("--format", format, "--output", f"{tmp_path}/{file}")
        assert main(("export", f"{scenes}/masks", *arguments)) == 0
        if file.endswith(".zip"):
            with zipfile.ZipFile(tmp_path / file) as archive:
                archive.extractall(tmp_path / format)
    command = [python, "-I", "-c", READ + script, str(tmp_path)]
    command += [f"{scenes}/masks", f"{scenes}/images"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["classes"] == ["cat", "cow", "dog", "horse", "person", "sheep"]
    assert result["images"] == [220, 220]
    assert min(result["worst"]) == 1
