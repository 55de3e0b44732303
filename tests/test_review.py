"""Decisions and corrections: what is read, what leaves the lists, what is refused."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from datasets_on_disk import SIZE, check_problem, inventory, write_folder, write_mask, write_text
from PIL import ExifTags, Image

from psa_core.datasets.corrections import find_labels, read_corrections, write_corrections
from psa_core.datasets.formats.masks import plain_coding
from psa_core.datasets.formats.source import DatasetError
from psa_core.datasets.index import ImageRow
from psa_core.runtime.artifacts import write_table


@pytest.fixture
def root(tmp_path):
    return tmp_path / "mine"


@pytest.fixture
def dataset(root):
    """Training images cats__y, x and z; w for val; masks for x and w."""
    return {**write_folder(root), "decisions": "decisions.csv"}


def decide(root: Path, *rows: str, header: str = "image,decision") -> None:
    write_text(root / "decisions.csv", "\n".join([header, *rows]) + "\n")


# --- decisions ------------------------------------------------------------------------------------


def test_an_excluded_image_leaves_all_lists(dataset, root):
    decide(root, "x,exclude", "w,exclude")
    data = inventory(dataset)
    training = ["cats__y", "z"]
    assert data.images == {"train_aug": training, "train": [], "val": [], "test": []}
    assert data.scored == {"train_aug": [], "train": [], "val": []}
    assert data.decisions == {"x": "exclude", "w": "exclude"}
    assert data.rejected == []


def test_a_rejected_image_stays_in_the_lists(dataset, root):
    decide(root, "z,reject", "x,accept", "w,reject")
    data = inventory(dataset)
    assert data.images["train_aug"] == ["cats__y", "x", "z"]
    assert data.rejected == ["z"]  # w has no pseudo label to learn from


def test_images_are_named_by_id_or_file_and_columns_in_any_order(dataset, root):
    decide(root, " reject , a note, cats/y.PNG ", header="decision, note, image")
    assert inventory(dataset).rejected == ["cats__y"]
    decide(root, "cats__y,reject")
    assert inventory(dataset).rejected == ["cats__y"]


def test_limit_counts_the_images_that_are_left(dataset, root):
    decide(root, "cats__y,exclude", "z,reject")
    data = inventory({**dataset, "limit": 1})
    assert data.images["train_aug"] == ["x"]
    assert data.rejected == []


def test_decisions_of_a_file_elsewhere(dataset, root, tmp_path, monkeypatch):
    write_text(tmp_path / "other/mine.csv", "image,decision\nz,reject\n")
    monkeypatch.chdir(tmp_path)
    assert inventory({**dataset, "decisions": "other/mine.csv"}).rejected == ["z"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["q,reject"], "line 2: 'q' is not in the lists of the data set: correct the name, or rem"),
        (["x,keep"], "line 2: decision 'keep' of 'x': write one of accept, reject, exclude"),
        (["x"], "line 2: decision '' of 'x': write one of accept, reject, exclude"),
        (["x,accept", "z,reject", "x.jpg,reject"], "line 4: 'x.jpg' is listed twice: remove one"),
    ],
)
def test_a_bad_row_is_named_with_a_remedy(dataset, root, rows, message):
    decide(root, *rows)
    check_problem(dataset, f"{root}/decisions.csv, {message}")


def test_a_table_without_the_columns_or_missing(dataset, root):
    decide(root, "x,reject", header="name,decision")
    check_problem(
        dataset, "decisions.csv: no column image in the header 'name,decision': the first"
    )
    (root / "decisions.csv").unlink()
    check_problem(dataset, f"{root}/decisions.csv: No such file", "or correct dataset.decisions")


def test_excluding_every_image_of_a_class_names_the_class(dataset, root):
    decide(root, "x,exclude", "z,exclude")  # all dogs
    check_problem(dataset, "dataset.classes: no image of train_aug shows dog")


# --- corrections ----------------------------------------------------------------------------------


@pytest.fixture
def corrected(dataset, root):
    """The data set with corrections of cats__y and x."""
    for image in ("x", "cats__y"):
        write_mask(root / f"corrections/{image}.png", [0, 1, 2, 255])
    write_text(root / "corrections/notes.txt", "")
    write_text(root / "corrections/.hidden.png", "")
    return {**dataset, "decisions": None, "corrections": "corrections"}


def test_corrections_by_image(corrected, root):
    data = inventory(corrected)
    expected = {image: f"{root}/corrections/{image}.png" for image in ("cats__y", "x")}
    assert data.corrections == expected
    assert list(data.corrections) == ["cats__y", "x"]


def test_a_corrected_label_is_not_rejected_and_an_excluded_image_has_no_correction(corrected, root):
    decide(root, "x,reject", "cats__y,exclude", "z,reject")
    data = inventory({**corrected, "decisions": "decisions.csv"})
    assert list(data.corrections) == ["x"]
    assert data.rejected == ["z"]


def test_files_that_are_no_corrections(corrected, root):
    write_mask(root / "corrections/w.png")  # of the validation images
    write_mask(root / "corrections/q.png")
    write_mask(root / "corrections/z.bmp")
    check_problem(
        corrected,
        f"{root}/corrections/w.png: 'w' is not in train_aug: name it like the file in results/",
        f"{root}/corrections/q.png: 'q' is not in train_aug",
        f"{root}/corrections/z.bmp: save it as PNG",
    )
    check_problem(
        {**corrected, "corrections": "gone"},
        "gone: no such folder: add it or correct dataset.corrections",
    )


@pytest.fixture
def row(tmp_path):
    """Write an image; returns its row."""

    def make(image: str, **saving) -> ImageRow:
        path = tmp_path / f"{image}.jpg"
        Image.new("RGB", SIZE).save(path, **saving)
        return ImageRow(image, str(path), "", ("cat",), (1,), SIZE[1], SIZE[0])

    return make


@pytest.fixture
def written(tmp_path):
    """Write corrections of rows; returns their table."""

    def table(rows, corrections, coding=None):
        coding = coding or plain_coding(NAMES)
        return write_corrections(rows, corrections, NAMES, coding, f"{tmp_path}/made/{{}}.png")

    return table


NAMES = ["cat", "dog"]
INDICES = np.array([[0, 1, 2, 255]] * 8, np.uint8).repeat(10, 1).repeat(4, 0)


@pytest.mark.parametrize("mode", ["L", "P"])
def test_table_of_corrections(tmp_path, row, written, mode):
    path = tmp_path / "corrections, mine/007.png"
    path.parent.mkdir()
    mask = Image.fromarray(INDICES)
    if mode == "P":
        mask.putpalette(range(256))
    mask.save(path)
    rows, made = [row("007"), row("NA")], f"{tmp_path}/made/007.png"
    table = written(rows, {"007": str(path)})
    digest = hashlib.sha256(Path(made).read_bytes()).hexdigest()
    assert table.values.tolist() == [["007", made, digest]]
    assert (np.asarray(Image.open(made)) == INDICES).all()
    write_table(tmp_path / "table.csv", table)
    assert read_corrections(tmp_path / "table.csv") == {"007": made}
    rows += [row("other")]
    found = find_labels(rows, {"007", "NA"}, "labels/{}.png", tmp_path / "table.csv")
    assert found == (rows[:2], [made, "labels/NA.png"])
    found = find_labels(rows, {"007"}, "labels/{}.png", None)
    assert found == (rows[:1], ["labels/007.png"])
    write_table(tmp_path / "table.csv", table[:0])
    assert read_corrections(tmp_path / "table.csv") == {}


def test_all_broken_corrections_are_named_together(tmp_path, row, written):
    paths = {name: str(tmp_path / f"{name}.png") for name in ("size", "value", "mode", "damaged")}
    write_mask(tmp_path / "size.png", size=(41, 32))
    write_mask(tmp_path / "value.png", [0, 3])
    write_mask(tmp_path / "mode.png", mode="RGB")
    write_text(tmp_path / "damaged.png", "")
    with pytest.raises(DatasetError, match=r"4 problem\(s\)") as error:
        written([row(name) for name in paths], paths)
    for part in (
        f"{paths['size']}: 41 x 32 pixels, but its image {tmp_path}/size.jpg has 40 x 32",
        f"{paths['value']}: values [3] are not classes: use [0, 1, 2, 255]",
        f"{paths['mode']}: mode RGB, but a mask has one channel",
        f"{paths['damaged']}: cannot be decoded",
    ):
        assert part in str(error.value)


def test_corrections_are_written_upright_with_8_bits(tmp_path, row, written):
    """Trainings read them as they are, and neither turn nor scale them."""
    turned = row("turned", exif=orientation(3))
    Image.fromarray(INDICES).save(tmp_path / "turned.png")  # of the stored pixels
    Image.fromarray(INDICES == 1).save(tmp_path / "few.png")
    written([turned, row("few")], {i: f"{tmp_path}/{i}.png" for i in ("turned", "few")})
    assert (np.asarray(Image.open(tmp_path / "made/turned.png")) == INDICES[::-1, ::-1]).all()
    assert (np.asarray(Image.open(tmp_path / "made/few.png")) == (INDICES == 1)).all()


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    return exif
