"""Prototypes of classes and their context against slow sums, and cases worked out by hand."""

import numpy as np
import pytest
import torch
from conftest import SEED
from test_cam import ONE_SCALE, BlockMeans, maps_of

from psa_core.datasets.index import ImageRow
from psa_core.method import prototypes
from psa_core.method.prototypes import View
from psa_core.networks.cam import CamNetwork, PrototypeNetwork

ONE = {"objects": 1, "contexts": 1, "threshold": 0.5, "rounds": 1}


def view(classes, *cells):
    """A view of cells, given as (direction in degrees, length)."""
    angles = torch.tensor([angle for angle, _ in cells]).deg2rad()
    features = torch.stack([angles.cos(), angles.sin()], 1).half()
    return View(classes, features, torch.tensor([float(length) for _, length in cells]))


def direction(degrees):
    angle = np.deg2rad(degrees)
    return np.array([np.cos(angle), np.sin(angle)])


def slow_weights(views, classifier, *, objects, contexts, threshold, rounds):
    """The same with one cell at a time, in double precision."""
    weights = classifier.double().numpy()
    for number in range(rounds):
        for c in range(len(weights)):
            inside, outside = [], []
            for each in views:
                if c + 1 not in each.classes:
                    continue
                cells = each.features.double().numpy()
                lengths = each.lengths.numpy() if number == 0 else np.ones(len(cells))
                scores = [
                    max(0, cell @ weights[c]) * n for cell, n in zip(cells, lengths, strict=True)
                ]
                for cell, score in zip(cells, scores, strict=True):
                    (inside if score > threshold * max(scores) else outside).append(cell)
            if inside and outside:
                weights[c] = slow_centres(inside, objects).mean(0)
                weights[c] -= slow_centres(outside, contexts).mean(0)
    return weights


def slow_centres(cells, count):
    count = min(count, len(cells))
    centres = [cells[i * len(cells) // count] for i in range(count)]
    for _ in range(prototypes.ITERATIONS):
        members = [[] for _ in centres]
        for cell in cells:
            members[int(np.argmax([cell @ centre for centre in centres]))].append(cell)
        for i, own in enumerate(members):
            if own:
                total = sum(own)
                centres[i] = total / np.linalg.norm(total)
    return np.array(centres)


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_weights_are_those_of_slow_sums(rounds):
    generator = torch.Generator().manual_seed(SEED)
    views = []
    for classes in ((1,), (1, 2), (2,), (3, 1), (), (2, 3)):
        cells = torch.rand(40, 5, generator=generator)
        unit = torch.nn.functional.normalize(cells).half()
        views.append(View(classes, unit, cells.norm(dim=1)))
    classifier = torch.randn(3, 5, generator=generator)
    options = {"objects": 3, "contexts": 4, "threshold": 0.4, "rounds": rounds}
    found = prototypes.prototype_weights(views, classifier, **options)
    assert found.dtype == torch.float32
    expected = slow_weights(views, classifier, **options)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_class_is_the_mean_of_its_cells_less_that_of_its_context():
    """Scores of the first class: 2, 1.93, 0.17 and 0; more than half of 2 are the first two."""
    own = view((1,), (0, 2), (15, 2), (85, 2), (90, 1))
    (weights,) = prototypes.prototype_weights([own], torch.tensor([[1.0, 0.0]]), **ONE)
    np.testing.assert_allclose(weights, direction(7.5) - direction(87.5), atol=1e-3)


def test_lengths_count_in_the_first_round_alone():
    """The second cell is short: the classifier does not see it, the prototype of the first does."""
    own = view((1,), (0, 10), (10, 1), (90, 1))
    start = torch.tensor([[1.0, 0.0]])
    (first,) = prototypes.prototype_weights([own], start, **ONE)
    np.testing.assert_allclose(first, direction(0) - direction(50), atol=1e-3)
    (second,) = prototypes.prototype_weights([own], start, **{**ONE, "rounds": 2})
    np.testing.assert_allclose(second, direction(5) - direction(90), atol=1e-3)


def test_images_without_the_class_do_not_count():
    own, other = view((1,), (0, 1), (90, 1)), view((2,), (45, 1), (180, 1))
    start = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    alone = prototypes.prototype_weights([own], start, **ONE)
    both = prototypes.prototype_weights([own, other], start, **ONE)
    assert torch.equal(alone[0], both[0])
    assert torch.equal(alone[1], start[1])  # without images


@pytest.mark.parametrize(
    "cells",
    [
        [(180, 1), (170, 1)],  # nothing is seen of the class
        [(0, 1), (0, 1)],  # the class fills the image
    ],
)
def test_a_class_without_cells_or_context_keeps_its_weights(cells):
    start = torch.tensor([[1.0, 0.0]])
    found = prototypes.prototype_weights([view((1,), *cells)], start, **ONE)
    assert torch.equal(found, start)


def test_rare_parts_count_as_much_as_common_ones():
    """Two prototypes: 9 cells of one direction and one of another have equal weight."""
    cells = torch.tensor(np.stack([direction(0)] * 9 + [direction(90)]), dtype=torch.float32)
    found = prototypes.prototypes(cells, 2)
    np.testing.assert_allclose(found.mean(0), [0.5, 0.5], atol=1e-6)
    assert len(prototypes.prototypes(cells[:1], 12)) == 1


def test_evenly_spaced_rows():
    rows = torch.arange(10)
    assert prototypes.evenly(rows, 4).tolist() == [0, 2, 5, 7]
    assert prototypes.evenly(rows, 10) is rows


def test_views_are_normalised_features_of_each_scale(monkeypatch):
    monkeypatch.setattr(prototypes, "CELLS", 3)
    image = np.zeros((8, 12, 3), np.uint8)
    image[:, :, 0] = [51, 51, 51, 51, 102, 102, 102, 102, 255, 255, 255, 255]  # red by column
    image[4:, :, 1] = 255  # the lower half is green
    network = CamNetwork(BlockMeans(), 1)
    ((full, double),) = prototypes.views(network, [image], [[1, 3]], scales=[1.0, 2.0])
    assert full.classes == double.classes == (1, 3)
    # Cells (row, column): (0, 0), (0, 2) and (1, 1) of 2 x 3.
    np.testing.assert_allclose(full.lengths, [0.2, 1, np.hypot(0.4, 1)], atol=1e-6)
    expected = [[1, 0], [1, 0], [0.4 / np.hypot(0.4, 1), 1 / np.hypot(0.4, 1)]]
    np.testing.assert_allclose(full.features, expected, atol=1e-3)
    assert full.features.dtype == torch.float16
    assert len(double.features) == 3


def test_maps_are_products_with_normalised_features():
    """Red and green of 3 / 5 and 4 / 5 of the length: 0.6 in the left block; 1 where it is red."""
    network = PrototypeNetwork(BlockMeans(), 1)
    network.classifier.weight.data = torch.tensor([[1.0, 0.0]]).view(1, 2, 1, 1)
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, :4, :2] = 51, 68
    image[:, 4:, 0] = 30  # dark, but of full length
    found = maps_of(network, image, [1], **{**ONE_SCALE, "stride": 4})
    np.testing.assert_allclose(found, [[[0.6, 1.0]]], atol=1e-4)


def test_small_scales():
    assert prototypes.small_scales([1.5, 0.5, 1.0]) == [0.5, 1.0]
    assert prototypes.small_scales([2.0, 1.25]) == [1.25]


def row(image, *classes):
    return ImageRow(image, "", "", tuple(map(str, classes)), classes, 8, 8)


def test_images_of_each_class_are_chosen_by_their_ids():
    """Six of the first class, one of both, one of none; the same in any order."""
    rows = [*(row(f"a{i}", 1) for i in range(6)), row("b", 1, 2), row("none")]
    chosen = {each.image: each.classes for each in prototypes.chosen_images(rows, 3)}
    assert sum(1 in classes for classes in chosen.values()) == 3
    assert 2 in chosen["b"]
    assert "none" not in chosen
    assert list(chosen) == [each.image for each in rows if each.image in chosen]
    again = prototypes.chosen_images(rows[::-1], 3)
    assert {each.image: each.classes for each in again} == chosen
    assert len(prototypes.chosen_images(rows, 100)) == 7


def test_cells_without_features_are_left_out():
    """The left half of the image is blank; the right cells are red and green."""
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, 8:12, 0] = image[:, 12:, 1] = 255
    ((own,),) = prototypes.views(CamNetwork(BlockMeans(), 1), [image], [[1]], scales=[1.0])
    assert own.features.tolist() == [[1, 0], [0, 1]] * 2
    blank = image[:, :8]
    ((nothing,),) = prototypes.views(CamNetwork(BlockMeans(), 1), [blank], [[1]], scales=[1.0])
    start = torch.tensor([[1.0, 0.0]])
    alone = prototypes.prototype_weights([own], start, **ONE)
    assert torch.equal(prototypes.prototype_weights([own, nothing], start, **ONE), alone)
    assert torch.equal(prototypes.prototype_weights([nothing], start, **ONE), start)
