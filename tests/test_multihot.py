"""A csv with one column of 0 and 1 per class, and NumPy's file of such vectors."""

import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
from datasets_on_disk import check_problem, write_folder, write_labels

from psa_core.datasets import formats


@pytest.fixture
def root(tmp_path):
    return tmp_path / "mine"


@pytest.fixture
def folder(root):
    return {**write_folder(root), "val_fraction": 0.0}


def read(dataset):
    source = formats.read(dataset)
    assert source.problems == []
    return source


@pytest.mark.parametrize(
    ("yes", "no"), [("1", "0"), ("1.0", "0.0"), ("True", "False"), (" TRUE", "false ")]
)
def test_columns_are_classes_in_their_order(folder, root, yes, no):
    rows = [f"x.jpg,{yes},{no}", f"z,{no},{yes}", f"cats/y,{yes},{yes}"]
    write_labels(root, *rows, header="image,dog,a polar bear")
    source = read(folder)
    assert source.names == ("dog", "a polar bear")
    assert source.labels == {"x": ["dog"], "z": ["a polar bear"], "cats__y": [*source.names]}
    assert source.coding[1:3] == [(1, 1, "dog"), (2, 2, "a polar bear")]


def test_a_column_split_is_not_a_class(folder, root):
    write_labels(root, "x,1,train,0", "w,1,val,1", "z,0,train,1", header="filename,b,split,a")
    source = read(folder)
    assert (source.names, source.lists["val"]) == (("b", "a"), ["w"])


def test_listed_classes_decide_the_order_and_which_there_are(folder, root):
    write_labels(root, "x,1,0,0", "z,0,0,1", header="image,dog,cow,cat")
    assert read({**folder, "classes": ["cat", "dog"]}).names == ("cat", "dog")
    check_problem({**folder, "classes": ["cat"]}, "line 2: label 'dog' of 'x' is not a class")


def test_an_image_with_no_class(folder, root):
    write_labels(root, "x,1", "z,0", header="image,cat")
    check_problem(folder, "line 3: 'z' has no labels", "dataset.negatives: true")
    assert read({**folder, "negatives": True}).labels == {"x": ["cat"], "z": []}


def test_rows_of_an_image_are_joined(folder, root):
    write_labels(root, "x,1,0", "z,1,0", "x,0,1", header="image,cat,dog")
    assert read(folder).labels["x"] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("header", "rows", "parts"),
    [
        ("image,cat,dog", ["x,1,0", "z,0,2"], ["line 3: '2' in the column dog: write 0 or 1"]),
        ("image,cat,dog", ["x,1,0", "z,,1"], ["line 3: '' in the column cat: write 0 or 1"]),
        ("image,cat,dog", ["x,1,0", "z,1"], ["line 3: 2 fields, the header has 3: write 0 or 1"]),
        ("image,cat,dog", ["x,1,0", "z,0,1,"], ["line 3: 4 fields, the header has 3"]),
        ("image,cat,cat", ["x,1,0"], ["the column cat is there 2 times: keep one"]),
        (",image,cat", ["0,x,1"], ["a column has no name: remove it"]),
        (
            "image,cat,dog",
            ["x,1,1", "image,cat,dog", "z,2,1"],
            ["line 3: the header", "line 4: '2'"],
        ),
        (
            "image,cat,dog",
            ["x,1,1", "w,1", "z,2,1"],
            ["labels.csv, line 3: 2 fields", "line 4: '2'"],
        ),
        (
            "image,cat,split",
            ["x,1,train", "x,1,val"],
            ["labels.csv, line 3: 'x' is val, but train"],
        ),
        ("image,Cat,cat", ["x,1,0", "z,0,1"], ["labels 'Cat' and 'cat' differ only in case"]),
        ("image,cat,dog", ["x,1,0"], ["no image of train_aug shows dog"]),
        ("image,background,cat", ["x,1,0", "z,0,1"], ["label 'background' of 'x' is not a class"]),
        ("image,cat;dog", ["x,1"], ["'cat;dog' cannot be the name of a class"]),
        ("image,label", ["x,0", "z,1"], ["no column labels in the header 'image,label'"]),
        ("image,area", ["x,12", "z,1"], ["no column labels in the header 'image,area'"]),
        ("image,cat", ["x", "z,1"], ["no column labels in the header 'image,cat'"]),
        ("name,cat", ["x,1"], ["no column image, labels in the header"]),
    ],
)
def test_what_is_refused(folder, root, header, rows, parts):
    write_labels(root, *rows, header=header)
    check_problem(folder, *parts)


def test_numpy_vectors_are_converted_by_the_line_of_the_message(folder, root):
    """PSA's own cls_labels.npy, a pickled dictionary, which is not opened here."""
    (root / "labels.csv").unlink()
    vectors = {"x": np.array([0, 1], np.float32), "z": np.array([1, 1], np.float32)}
    np.save(root / "it's $mine.npy", vectors)
    dataset = {**folder, "labels": "it's $mine.npy"}
    problem = check_problem(dataset, "mine.npy: NumPy's file may run code", "If you trust it")
    (line,) = [line for line in problem.splitlines() if line.startswith("python -c")]
    command = [sys.executable, *shlex.split(line)[1:]]
    subprocess.run(command, check=True, cwd=root.parent, env={**os.environ, "PATH": ""})
    source = read({**folder, "labels": "it's $mine.csv"})
    assert source.names == ("1", "2")
    assert source.labels == {"x": ["2"], "z": ["1", "2"]}


def test_numpys_file_is_not_unpickled(folder, root):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(root / "harmed"),)

    np.save(root / "cls_labels.npy", np.array(Harmful(), dtype=object))
    check_problem({**folder, "labels": "cls_labels.npy"}, "may run code")
    assert not (root / "harmed").exists()
