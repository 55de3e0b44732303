"""Which images a user's arguments mean, and their names."""

import pytest
from PIL import Image

from psa_core.datasets.formats.source import DatasetError
from psa_core.delivery.images import check_images, file_name, find_images


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder, seen from its parent, with images, a hidden one and a text."""
    for name in ("a.jpg", "b c.PNG", "d/a.jpg", "d/e/f.jpg", ".hidden.jpg", ".cache/g.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 50)).save(path)
    (tmp_path / "photos/notes.txt").write_text("no image")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def names(*given, **options) -> list[str]:
    return list(find_images(given, **options))


def test_a_folder_is_searched_with_its_sub_folders(photos):
    assert names("photos") == ["a", "b c", "d/a", "d/e/f"]
    assert names(str(photos / "d")) == ["a", "e/f"]


def test_files_have_their_own_names(photos):
    assert names("photos/d/e/f.jpg", "photos/b c.PNG") == ["b c", "f"]
    assert names("photos/a.jpg", "./photos/a.jpg") == ["a"]


def test_names_of_a_pattern_begin_after_its_fixed_part(photos):
    assert names("photos/*/*.jpg") == ["d/a"]
    assert names("photos/**/*.jpg") == ["a", "d/a", "d/e/f"]


def test_a_list_keeps_the_folders_that_it_names(photos, tmp_path):
    (tmp_path / "list.txt").write_text(f"photos/a.jpg\n\n{photos}/d/e/f.jpg\nphotos/d/a.jpg\n")
    assert names(listed="list.txt") == ["f", "photos/a", "photos/d/a"]


def test_results_within_the_folder_are_not_images(photos):
    Image.new("RGB", (40, 50)).save(photos / "d/e/mask.png")
    assert names("photos", output="photos/d/e") == ["a", "b c", "d/a"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["photos/a.jpg", "photos/d/a.jpg"], "photos/d/a.jpg have the same name, a"),
        (["photos", "nowhere"], "nowhere: no such file or folder"),
        (["photos/*.gif"], r"no image \(\.avif, .* is there: name files"),
        ([], "no image"),
    ],
)
def test_what_cannot_be_meant_is_named(photos, given, message):
    with pytest.raises(DatasetError, match=message):
        find_images(given)


def test_a_missing_file_of_a_list_is_named_with_its_line(photos, tmp_path):
    (tmp_path / "list.txt").write_text("photos/a.jpg\nphotos/z.jpg\n")
    with pytest.raises(DatasetError, match=r"list.txt, line 2: no file photos/z.jpg"):
        find_images([], listed="list.txt")


def test_each_image_is_checked_and_described(photos):
    (photos / "d/a.jpg").write_text("damaged")
    rows, problems = check_images(find_images(["photos"]), threads=2)
    assert [(row.image, row.height, row.width) for row in rows] == [
        ("a", 50, 40),
        ("b c", 50, 40),
        ("d/e/f", 50, 40),
    ]
    assert file_name(rows[1]) == "b c.PNG"
    assert len(problems) == 1
    assert problems[0].startswith("photos/d/a.jpg: cannot be decoded")
