"""Data that are legal, and of which little can be learned: each has the result that is documented.

docs/robustness.md has the table.
"""

import numpy as np
import pytest
import yaml
from PIL import Image
from seeds import ROOT, TINY_YAML
from workflow_runs import snakemake

from psa_core.method.affinity_labels import affinity_labels
from psa_core.method.background import walk_with_background
from psa_core.method.pairs import neighbour_offsets, pair_slices
from psa_core.method.pseudo_labels import pseudo_labels
from psa_core.runtime.artifacts import read_label_map, read_table
from psa_core.runtime.config import complete

CONFIG = complete(
    {"dataset": {"format": "folder", "root": "."}},
    yaml.safe_load((ROOT / "config/schema.yaml").read_text()),
)


def edges_of(height, width, affinity=0.9):
    """Affinities of a map, NaN where the neighbour lies outside of it."""
    edges = np.full((len(neighbour_offsets(5)), height, width), np.nan, np.float32)
    for each, offset in zip(edges, neighbour_offsets(5), strict=True):
        each[pair_slices(offset, height, width)[0]] = affinity
    return edges


def labels_of(maps, classes, size, edges=None):
    """(confident areas, pseudo labels) of an image of noise with the default settings.

    maps: float32 [K, h, w], of cells of 8 x 8 pixels. size: (height, width) in pixels.
    """
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    keys = ("alpha_low", "alpha_high", "dcrf")
    settings = {key: CONFIG["affinity_labels"][key] for key in keys}
    areas = affinity_labels(image, maps, classes, **settings)
    walk = {key: CONFIG["walk"][key] for key in ("alpha", "beta", "t", "tolerance", "scale_t")}
    edges = edges_of(*maps.shape[1:]) if edges is None else edges
    scores, _ = walk_with_background(maps, edges, gamma=5, **walk)
    keys = ("confidence", "scale", "dcrf")
    settings = {key: CONFIG["pseudo_labels"][key] for key in keys}
    return areas, pseudo_labels(image, scores, classes, **settings)


def test_a_class_that_fills_the_image_fills_its_label():
    areas, labels = labels_of(np.ones((1, 12, 16), np.float32), [3], (96, 128))
    assert np.unique(areas).tolist() == [3]
    assert np.unique(labels).tolist() == [3]


def test_maps_of_zeros_give_background():
    areas, labels = labels_of(np.zeros((2, 12, 16), np.float32), [1, 2], (96, 128))
    assert np.unique(areas).tolist() == [0]
    assert np.unique(labels).tolist() == [0]


@pytest.mark.parametrize("cells", [(1, 1), (4, 4), (1, 9)])
def test_maps_that_are_smaller_than_the_neighbourhood(cells):
    """Of 32 x 32 pixels: the walk has fewer neighbours, nothing else changes."""
    maps = np.zeros((1, *cells), np.float32)
    maps[0, 0, : max(1, cells[1] // 2)] = 1
    size = 8 * cells[0], 8 * cells[1]
    areas, labels = labels_of(maps, [1], size, edges_of(*cells, affinity=0.1))
    assert areas.shape == labels.shape == size
    assert labels[0, 0] == 1
    assert (labels[0, -1] == 1) == (cells == (1, 1))


def test_253_classes_in_one_image():
    """The most that a label map of 8 bits holds: each class keeps its block of 3 x 3 cells."""
    classes = list(range(1, 254))
    maps = np.zeros((253, 33, 72), np.float32)
    blocks = {
        c: np.s_[3 * (c // 24) : 3 * (c // 24) + 3, 3 * (c % 24) : 3 * (c % 24) + 3]
        for c in classes
    }
    for c, block in blocks.items():
        maps[c - 1][block] = 1
    _, labels = labels_of(maps, classes, (33, 72), edges_of(33, 72, affinity=0.0))
    centres = {c: labels[block][1, 1] for c, block in blocks.items()}
    assert centres == {c: c for c in classes}
    assert labels[1, 1] == 0  # of the block without a class


@pytest.mark.slow  # a whole run
def test_a_run_on_identical_images_of_one_class_and_a_strip_of_20000_pixels(tmp_path):
    """Without masks, and with nothing to tell the class from: labels of each image's size."""
    (tmp_path / "{zoo} $1/images").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (200, 20_000, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "{zoo} $1/images/strip.jpg")
    names = ["a.png", "b.png", "c.png", "v.png"]
    for name in names:
        Image.fromarray(noise[:48, :64]).save(tmp_path / "{zoo} $1/images" / name)
    rows = [
        f"{name},猫_$5$,{'val' if name == 'v.png' else 'train'}" for name in [*names, "strip.jpg"]
    ]
    (tmp_path / "{zoo} $1/labels.csv").write_text("\n".join(["image,labels,split", *rows]))
    config = yaml.safe_load(TINY_YAML.read_text())
    config["dataset"] = {"format": "folder", "root": "{zoo} $1", "shards": 1}
    config["segmentation"]["upper_bound"] = False
    config["affinity_labels"]["true_masks"] = []
    (tmp_path / "zoo.yaml").write_text(yaml.safe_dump(config))
    printed = snakemake(tmp_path, "--", "all", config=tmp_path / "zoo.yaml")
    results = tmp_path / "results"
    assert "every training image shows 猫_$5$, so there is nothing to tell it from" in printed
    assert "3 images are copies of others" in printed
    labels = {name: read_label_map(results / f"pseudo_labels/{name}.png") for name in "abc"}
    assert np.array_equal(labels["a"], labels["b"])
    assert np.array_equal(labels["a"], labels["c"])
    assert read_label_map(results / "pseudo_labels/strip.png", (200, 20_000)).max() <= 1
    assert read_label_map(results / "segmentation/predictions/v.png", (48, 64)).max() <= 1
    assert len(read_table(results / "pseudo_labels/check.csv")) == 4
