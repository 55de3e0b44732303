"""Images with none of the classes: learned from as background, and background in every result."""

import numpy as np
import pytest
import torch
from datasets_on_disk import (
    check_problem,
    inventory,
    write_folder,
    write_labels,
    write_lists,
    write_voc,
)

from psa_core.datasets import index
from psa_core.datasets.index import ImageRow
from psa_core.evaluation import label_check, label_warning, sweeps
from psa_core.evaluation.superpixels import superpixel_labels
from psa_core.method import affinity_labels, background, cam, pseudo_labels
from psa_core.runtime.artifacts import read_array, write_array, write_table

NONE = np.zeros((0, 3, 4), np.float32)  # the class maps of an image without classes
IMAGE = np.full((24, 32, 3), 90, np.uint8)
EDGES = np.ones((34, 3, 4), np.float32)
WALK = {"gamma": 5, "tolerance": 0.0}


@pytest.fixture
def folder(tmp_path):
    dataset = write_folder(tmp_path / "mine")
    write_labels(tmp_path / "mine", "x.jpg,cat dog,train", "cats/y,cat,train", "z,,train", "w,,val")
    return dataset


def test_a_folder_has_them_on_request(folder, tmp_path):
    check_problem(
        folder, "line 4: 'z' has no labels", "line 5: 'w' has no labels", "dataset.negatives: true"
    )
    dataset = {**folder, "negatives": True}
    data = inventory(dataset)
    assert data.images["train_aug"] == ["cats__y", "x", "z"]
    assert data.images["val"] == ["w"]
    assert data.negatives == {"w", "z"}
    index.write_images(tmp_path / "t.csv", index.describe_images(dataset, ["x", "z"]))
    rows = index.read_images(tmp_path / "t.csv")
    assert [(row.image, row.labels, row.classes) for row in rows] == [
        ("x", ("cat", "dog"), (1, 2)),
        ("z", (), ()),
    ]


def test_a_devkit_keeps_images_without_a_selected_class(tmp_path):
    dataset = write_voc(tmp_path)  # c and e show a bus alone
    write_lists(tmp_path, train="a")
    assert inventory(dataset).images["train_aug"] == ["a", "b"]
    data = inventory({**dataset, "negatives": True})
    assert data.images["train_aug"] == ["a", "b", "c"]
    assert data.images["val"] == ["d", "e"]
    assert data.negatives == {"c", "e"}


def test_the_cam_network_learns_from_them():
    assert [v.tolist() for v in cam.label_vectors([(2,), ()], 3)] == [[0, 1, 0], [0, 0, 0]]
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(2))
    loss = cam.losses(network, torch.ones(1, 3, 2, 2), torch.zeros(1, 2))["loss"]
    loss.backward()
    assert (network[1].bias.grad > 0).all()  # each class becomes less likely


def test_they_have_no_maps(tmp_path):
    class Network(torch.nn.Module):
        backbone = type("Backbone", (), {"stride": 8})

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def activations(self, images):
            return torch.ones(len(images), 5, 3, 4)

    options = {"scales": [1.0], "flip": True, "stride": 8}
    both = cam.class_activation_maps(Network(), [IMAGE, IMAGE], [(2, 5), ()], **options)
    assert [maps.shape for maps in both] == [(2, 3, 4), (0, 3, 4)]
    write_array(tmp_path / "a.npy", both[1])
    assert read_array(tmp_path / "a.npy", 0).shape == (0, 3, 4)


@pytest.mark.parametrize("alpha", ["auto", 16])
def test_their_labels_are_background(alpha):
    scores, _ = background.walk_with_background(NONE, EDGES, alpha=alpha, beta=8, t=4, **WALK)
    assert scores.tolist() == np.ones((1, 3, 4)).tolist()
    dcrf = {"iterations": 1}
    areas = affinity_labels.affinity_labels(
        IMAGE, NONE, (), alpha_low=alpha, alpha_high=alpha, scale=0.5, dcrf=dcrf, size=(48, 64)
    )
    labels = pseudo_labels.pseudo_labels(
        IMAGE, scores, (), confidence=0.9, dcrf=dcrf, size=(48, 64)
    )
    for found in (areas, labels):
        assert (found.shape, found.dtype, found.max()) == ((48, 64), np.uint8, 0)
    found = superpixel_labels(IMAGE, NONE, (), segments=4, compactness=10, alpha=alpha)
    assert (found.shape, found.max()) == ((24, 32), 0)


def test_a_sweep_counts_their_pixels_as_background():
    grid = {"alpha": [4.0], "beta": [8], "t": [4, 16]}
    true = np.array([[0, 1], [0, 255]], np.uint8)
    counts = sweeps.walk_counts([(NONE, EDGES, (), true)], 2, **grid, **WALK)
    assert counts[["true", "predicted", "pixels"]].to_numpy().tolist() == [
        [0, 0, 2],
        [1, 0, 1],
        [0, 0, 2],
        [1, 0, 1],
    ]


def test_the_label_check_does_not_call_them_empty(tmp_path):
    negative = ImageRow("n", "n.png", "", (), (), 2, 2)
    labels, scores = np.zeros((2, 2), np.uint8), np.ones((1, 1, 1))
    checked = label_check.check(negative, labels, scores)
    assert len(checked) == 0
    positive = negative._replace(image="p", labels=("cat",), classes=(1,))
    one = label_check.check(positive, labels + 1, np.ones((2, 1, 1)))
    for name, table in {"0": checked, "1": one}.items():
        write_table(tmp_path / name, table)
    joined = label_warning.read_checks([tmp_path / "0", tmp_path / "1"])
    assert joined["image"].tolist() == ["p"]
    assert joined["flooded"].tolist() == [True]
    assert len(label_warning.read_checks([tmp_path / "0"])) == 0
    assert label_warning.warning(label_warning.read_checks([tmp_path / "0"])) == ""
