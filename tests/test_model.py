"""The model that is handed on: what its file and its card tell."""

import pandas as pd
import torch
from safetensors.torch import load_file

from psa_core.delivery.model import write_card, write_model
from psa_core.networks.builder import build
from psa_core.networks.files import write_network
from psa_core.networks.metadata import read_metadata

SETTINGS = {"backbone": "resnet18", "output_stride": 32, "frozen_stages": 0}
SETTINGS |= {"architecture": "largefov", "weights": "random"}
INFERENCE = {"scales": [0.5, 1.0], "flip": True}
ROWS = [
    ("walk", "train", "background", 80.0, 9),
    ("walk", "train", "cat", 41.25, 9),
    ("walk", "train", "mean", 60.625, 9),
    ("segmentation", "val", "background", 81.04, 4),
    ("segmentation", "val", "cat", None, 4),
    ("segmentation", "val", "mean", 81.04, 4),
]


def write(folder, licence=None, rows=ROWS):
    """The network of a run in n.safetensors, its model in m.safetensors and card.md."""
    network = build("segmentation", SETTINGS, 1, pretrained=False)
    about = {"dataset": "zoo", "seed": 3}
    write_network(folder / "n.safetensors", network, "segmentation", SETTINGS, ["big cat"], **about)
    metrics = pd.DataFrame(rows, columns=["stage", "split", "class", "iou", "images"])
    facts = {"inference": INFERENCE, "metrics": metrics, "licence": licence}
    write_model(folder / "m.safetensors", folder / "n.safetensors", **facts)
    write_card(folder / "card.md", folder / "m.safetensors")
    return (folder / "card.md").read_text()


def test_a_model_is_its_network_with_more_to_tell(tmp_path):
    write(tmp_path, licence="CC0")
    network, model = (load_file(tmp_path / f"{name}.safetensors") for name in "nm")
    assert network.keys() == model.keys()
    assert all(torch.equal(network[key], model[key]) for key in network)
    known, told = (read_metadata(tmp_path / f"{name}.safetensors") for name in "nm")
    assert {key: told[key] for key in known} == known
    assert told["inference"] == INFERENCE
    assert told["licence"] == "CC0"
    assert told["metrics"]["walk"]["iou"]["mean"] == 60.62  # rounded half to even
    assert told["metrics"]["segmentation"] == {
        "split": "val",
        "images": 4,
        "iou": {"background": 81.04, "cat": None, "mean": 81.04},
    }


def test_the_card_has_classes_settings_and_scores(tmp_path):
    lines = write(tmp_path).splitlines()
    assert "| 1 | big cat |" in lines
    assert "- Data set: zoo" in lines
    assert (
        "- Input: RGB images, of any size, as they are, at the scales 0.5, 1 and mirrored" in lines
    )
    assert "- Licence: not stated" in lines
    table = lines.index("| | walk | segmentation |")  # in the order of the stages and classes
    assert lines[table + 2 :] == [
        "| images | 9 train | 4 val |",
        "| background | 80.0 | 81.0 |",
        "| cat | 41.2 |  |",
        "| mean | 60.6 | 81.0 |",
    ]


def test_a_run_without_masks_has_no_scores(tmp_path):
    assert write(tmp_path, rows=[]).endswith("no true masks to score it on.\n")
    assert read_metadata(tmp_path / "m.safetensors")["metrics"] == {}
