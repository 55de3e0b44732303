"""A csv of labels: separators, and names that are probably not what is meant."""

import pytest
from datasets_on_disk import check_problem, read, write_folder, write_labels, write_text

from psa_core.datasets import formats


@pytest.fixture
def root(tmp_path):
    return tmp_path / "mine"


@pytest.fixture
def folder(root):
    return write_folder(root)


@pytest.mark.parametrize(
    ("labels", "separator", "expected"),
    [
        ('"cat,dog"', None, ["cat", "dog"]),
        ('"cat, dog"', None, ["cat", "dog"]),
        ("cat|dog", None, ["cat", "dog"]),
        ("cat\tdog", None, ["cat", "dog"]),
        ("cat; dog;", None, ["cat", "dog"]),
        ("\"['cat', 'dog']\"", None, ["cat", "dog"]),
        ('"[""cat"", ""dog""]"', None, ["cat", "dog"]),
        ("\"('cat', 'dog')\"", None, ["cat", "dog"]),
        ('"[cat, dog]"', None, ["cat", "dog"]),
        ("\"{'cat', 'dog'}\"", None, ["cat", "dog"]),
        ('"cat\ndog"', None, ["cat", "dog"]),
        ("cat/dog", "/", ["cat", "dog"]),
        ("cat dog", " ", ["cat", "dog"]),
        ('"cat, dog;"', ";", None),  # refused: the comma
    ],
)
def test_separators(folder, root, labels, separator, expected):
    write_labels(root, f"x.jpg,{labels},train", "cats/y,cat,train", "z,dog,train", "w,dog,val")
    dataset = {**folder, "separator": separator}
    if expected is None:
        check_problem(dataset, "line 2: label 'cat, dog' holds ','", "dataset.separator")
    else:
        assert read(dataset).labels["x"] == expected


def test_labels_of_a_list_need_not_occur_alone(folder, root):
    write_labels(root, "x,\"['cat', 'dog']\"", "z,\"['cow']\"", header="image,labels")
    source = read({**folder, "val_fraction": 0.0})
    assert source.labels == {"x": ["cat", "dog"], "z": ["cow"]}
    assert source.doubts == []
    write_labels(root, "x,['cat']", "z,['dog']", "w,cat dog", header="image,labels")
    assert read({**folder, "val_fraction": 0.0}).labels["w"] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (["x,cat,dog"], ["3 fields"]),
        (["x,\"['cat' 'dog']\"", "z,cat"], ["line 2: label", "holds '['", "separate labels by ;"]),
        (["x,\"['cat', 2.5]\"", "z,cat"], ["line 2: label", "holds '['"]),
        (['x,"[[cat, dog]"', "z,cat"], ["line 2: label '[[cat,' holds '['"]),
        (['x,"[cat, dog]]"', "z,cat"], ["line 2: label '[cat,' holds '['"]),
        (["x,cat|dog", "z,cat;dog"], ["labels.csv, line 2: label 'cat|dog' holds '|'"]),
        (["x,cow dog", "z,cow;dog"], ["line 2: label 'cow dog' is made of the labels 'cow' and"]),
        (["x,cat/dog", "z,cat", "w,dog"], ["'cat/dog' is made of the labels 'cat' and 'dog'"]),
        (["x,cat polar bear", "z,cat;polar bear"], ["of the labels 'cat' and 'polar bear'"]),
        (["x,Cat", "z,cat"], ["labels.csv, line 3: labels 'Cat' and 'cat' differ only in case"]),
        (["x,Cat", "z,cat", "w,CAT"], ["line 4: labels 'Cat' and 'cat' and 'CAT' differ"]),
        (["x,polar_bear", "z,polar bear;"], ["'polar_bear' and 'polar bear' differ only in"]),
        (["x,caf\u00e9\u200b", "z,cafe\u0301"], ["differ only in case, blanks or Unicode form"]),
        (["x,01", "z,1"], ["labels '01' and '1' differ"]),
        (["x,polar bear", "z,cat"], ["line 2: 'polar bear': one class", "set dataset.separator"]),
        (["x,polar bear", "z,brown bear"], ["'polar bear': one class", "'brown bear': one class"]),
        (
            ["x,cat", "image,labels", "filename,labels", "z,dog,cow"],
            ["line 3: the header again", "line 4: the header", "labels.csv, line 5: 3 fields"],
        ),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_meant(folder, root, rows, parts):
    write_labels(root, *rows, header="image,labels")
    check_problem({**folder, "val_fraction": 0.0}, *parts)


@pytest.mark.parametrize("repeated", ["image", "labels", "split"])
def test_repeated_columns(folder, root, repeated):
    write_labels(root, "x,cat,train,y", header=f"image,labels,split,{repeated}")
    check_problem(folder, f"labels.csv: the column {repeated} is there 2 times: keep one")


def test_listed_classes_decide_what_a_name_is(folder, root):
    write_text(root / "classes.txt", "polar bear\na, b\nCat\ncat\ncafe\u0301\n")
    rows = ["x,polar bear", "z,cat;Cat", 'w,"a, b"', "cats/y,caf\u00e9"]
    write_labels(root, *rows, header="image,labels")
    labels = read({**folder, "val_fraction": 0.0}).labels
    assert labels == {
        "x": ["polar bear"],
        "z": ["Cat", "cat"],
        "w": ["a, b"],
        "cats__y": ["caf\u00e9"],
    }


@pytest.mark.parametrize(
    ("rows", "doubt"),
    [
        (["x,person bicycle", "z,person"], "'person bicycle': one class or two? 'bicycle' never"),
        (["x,polar bear", "z,bear"], "line 2: 'polar bear': one class or two? 'polar' never"),
        (["x,cow", "z,bear cat", "w,polar bear", "cats/y,bear"], "'bear cat' (and 1 other pairs)"),
        (["x,person bicycle", "z,person", "w,bicycle"], None),
        (["x,person bicycle", "z,person", "w,bicycle person"], None),
        (["x,polar bear;", "z,bear"], None),
    ],
)  # fmt: skip
def test_words_that_may_be_one_name_are_a_doubt(folder, root, rows, doubt):
    write_labels(root, *rows, header="image,labels")
    found = read({**folder, "val_fraction": 0.0}).doubts
    assert len(found) == (doubt is not None)
    assert (doubt or "") in "".join(found)
    given = read({**folder, "val_fraction": 0.0, "separator": ";" if "polar" in rows[0] else " "})
    assert given.doubts == []


def test_semicolons_in_names_of_classes(folder, root):
    """The tables of images separate labels by them."""
    write_text(root / "classes.txt", "cat\ndog\na;b\n")
    check_problem(folder, "'a;b' cannot be the name of a class", "rename it")


def test_whole_numbers_are_in_numeric_order(folder, root):
    write_labels(root, "x,10;2", "z,1;12", header="image,labels")
    assert read({**folder, "val_fraction": 0.0}).names == ("1", "2", "10", "12")
    write_labels(root, "x,020;2", "z,10", header="image,labels")
    assert read({**folder, "val_fraction": 0.0}).names == ("2", "10", "020")
    large = "9" * 5000  # Python refuses to make a number of it
    write_labels(root, f"x,{large};2", "z,10", header="image,labels")
    assert read({**folder, "val_fraction": 0.0}).names == ("2", "10", large)
    write_labels(root, "x,10;2", "z,1;a", header="image,labels")
    assert read({**folder, "val_fraction": 0.0}).names == ("1", "10", "2", "a")


def test_one_row_for_each_label(folder, root):
    write_labels(root, "x.jpg,dog,train", "z,cat,train", "x.jpg,cat,train", "x.jpg,dog,train")
    assert read(folder).labels == {"x": ["cat", "dog"], "z": ["cat"]}
    write_labels(root, "x.jpg,dog,train", "x.jpg,cat,val")
    check_problem(folder, "labels.csv, line 3: 'x.jpg' is val, but train in line 2: remove one")
    write_labels(root, "x.jpg,dog,", "x.jpg,cat,val", "z,dog,train", "z,cat,")
    parts = ["'x.jpg' is val, but without split in line 2", "'z' is without split, but train in"]
    check_problem(folder, *parts)


def test_an_image_and_a_class_may_have_the_names_of_columns(folder, root):
    (root / "images/x.jpg").rename(root / "images/image.jpg")
    write_labels(root, "image,cat", "w,labels", header="image,labels")
    assert read({**folder, "val_fraction": 0.0}).labels == {"image": ["cat"], "w": ["labels"]}


def test_a_list_does_not_decide_how_other_rows_are_separated(folder, root):
    write_labels(root, 'x,"[cat, dog]"', "z,dog cat", "w,cat", "cats/y,dog", header="image,labels")
    labels = read({**folder, "val_fraction": 0.0}).labels
    assert labels["x"] == labels["z"] == ["cat", "dog"]


def test_with_a_separator_there_are_no_lists(folder, root):
    write_labels(root, "x,[cat]", "z,cat", header="image,labels")
    assert read({**folder, "val_fraction": 0.0}).names == ("cat",)
    check_problem({**folder, "val_fraction": 0.0, "separator": ";"}, "label '[cat]' holds '['")


def test_names_of_one_word_and_signs_or_a_zero_differ(folder, root):
    write_labels(root, "x,c", "z,c++;0c", header="image,labels")
    assert read({**folder, "val_fraction": 0.0}).names == ("0c", "c", "c++")


def test_doubts_are_about_other_pairs_than_problems(folder, root):
    rows = ["x,polar bear", "z,red fox", "w,fox"]
    write_labels(root, *rows, header="image,labels")
    source = formats.read({**folder, "val_fraction": 0.0})
    (problem,), (doubt,) = source.problems, source.doubts
    assert problem.startswith(f"{root}/labels.csv, line 2: 'polar bear': one class or two?")
    assert "line 3: 'red fox': one class or two? 'red' never" in doubt
