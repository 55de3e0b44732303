"""Pairs, distances and losses of AffinityNet (paper, eq. 3 to 10), by hand and by brute force."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from seeds import SEED
from torch import nn

from psa_core.method import affinity
from psa_core.method.pairs import neighbour_offsets, pair_slices


def pairs_of(height, width, gamma):
    """All unordered pairs of cells nearer than gamma, by comparing every cell with every other."""
    cells = [(y, x) for y in range(height) for x in range(width)]
    return {
        frozenset(pair)
        for pair in combinations(cells, 2)
        if np.hypot(pair[0][0] - pair[1][0], pair[0][1] - pair[1][1]) < gamma
    }


def enumerated(height, width, gamma):
    """The pairs that offsets and slices select, as a list."""
    rows, columns = np.indices((height, width))
    pairs = []
    for offset in neighbour_offsets(gamma):
        first, second = pair_slices(offset, height, width)
        starts = zip(rows[first].flat, columns[first].flat, strict=True)
        ends = zip(rows[second].flat, columns[second].flat, strict=True)
        pairs += [(a, b) for a, b in zip(starts, ends, strict=True)]
    return [frozenset(((int(y), int(x)) for y, x in pair)) for pair in pairs]


@pytest.mark.parametrize(("gamma", "count"), [(5, 34), (2, 4), (1.5, 4), (1, 0), (3, 12)])
def test_number_of_offsets(gamma, count):
    # Gamma 5 by rows of the half plane: 4 + 9 + 9 + 7 + 5. Gamma 3: 2 + 5 + 5 (4 + 4 = 8 < 9).
    assert len(neighbour_offsets(gamma)) == count


@pytest.mark.parametrize("gamma", [5, 2.5])
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 2), (2, 1), (2, 3), (1, 9), (9, 1), (4, 5), (5, 5), (9, 8)]
)
def test_pairs_are_exact_at_borders_and_occur_once(size, gamma):
    pairs = enumerated(*size, gamma)
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == pairs_of(*size, gamma)


# One channel; at gamma 1.5 the pairs are the 8-neighbours: offsets (0, 1), (1, -1), (1, 0), (1, 1).
#   features     labels (0 background, 2 object, 255 neutral)
#   0 1 3        0 0   2
#   1 2 4        0 255 2
#   0 0 5        0 2   2
FEATURES = torch.tensor([[0.0, 1, 3], [1, 2, 4], [0, 0, 5]])
LABELS = torch.tensor([[0, 0, 2], [0, 255, 2], [0, 2, 2]])
# (0, 1): 1 2 | 1 2 | 0 5; (1, -1): 1-1 3-2 | 2-0 4-0; (1, 0): 0-1 1-2 3-4 | 1-0 2-0 4-5;
# (1, 1): 0-2 1-4 | 1-0 2-5.
DISTANCES = [
    [[1, 2], [1, 2], [0, 5]],
    [[0, 1], [2, 4]],
    [[1, 1, 1], [1, 2, 1]],
    [[2, 3], [1, 3]],
]


def test_distances_of_a_map_worked_by_hand():
    distances = affinity.pair_distances(FEATURES[None, None], 1.5)
    for computed, expected in zip(distances, DISTANCES, strict=True):
        np.testing.assert_array_equal(computed[0], expected)


def test_channels_are_added_or_averaged():
    """|1 - 4| + |0 - (-2)| = 5 at one pair."""
    features = torch.tensor([[[[1.0, 4.0]], [[0.0, -2.0]]]])
    summed = affinity.pair_distances(features, 1.5)
    mean = affinity.pair_distances(features, 1.5, distance="mean")
    assert summed[0].tolist() == [[[5.0]]]
    assert mean[0].tolist() == [[[2.5]]]
    assert [pair.numel() for pair in summed[1:]] == [0, 0, 0]


def test_losses_stay_on_the_device_of_the_labels():
    """Of torch's devices without memory: whatever goes through the CPU fails there."""
    distances = affinity.pair_distances(FEATURES[None, None].to("meta"), 1.5)
    terms = affinity.affinity_losses(distances, LABELS[None].to("meta"), 1.5)
    assert {term.device.type for term in terms.values()} == {"meta"}


def test_losses_of_a_map_worked_by_hand():
    # Pairs without the neutral centre, (distance):
    #   foreground, both 2: (0,2)-(1,2) 1; (1,2)-(2,2) 1; (2,1)-(2,2) 5; (1,2)-(2,1) 4  -> mean 11/4
    #   background, both 0: (0,0)-(0,1) 1; (0,0)-(1,0) 1; (1,0)-(2,0) 1; (0,1)-(1,0) 0  -> mean 3/4
    #   different: (0,1)-(0,2) 2; (0,1)-(1,2) 3; (2,0)-(2,1) 0; (1,0)-(2,1) 1
    #     -> mean of -log(1 - e^-d + 1e-5) over 2, 3, 0, 1; at d = 0 that is -log 1e-5
    different = [-np.log(1 - np.exp(-d) + 1e-5) for d in (2, 3, 1)] + [5 * np.log(10)]
    terms = affinity.affinity_losses(
        affinity.pair_distances(FEATURES[None, None], 1.5), LABELS[None], 1.5
    )
    assert terms["foreground"].item() == pytest.approx(11 / 4)
    assert terms["background"].item() == pytest.approx(3 / 4)
    assert terms["negative"].item() == pytest.approx(np.mean(different), rel=1e-5)
    assert terms["loss"].item() == pytest.approx(11 / 4 + 3 / 4 + 2 * np.mean(different), rel=1e-5)


@pytest.mark.parametrize("distance", ["sum", "mean"])
def test_losses_equal_a_double_loop(rng, distance):
    features = rng.random((2, 3, 7, 6))
    labels = rng.choice([0, 0, 1, 4, 255], (2, 7, 6))
    sets = {"foreground": [], "background": [], "negative": []}
    for image in range(2):
        for pair in pairs_of(7, 6, 5):
            (ay, ax), (by, bx) = pair
            a, b = labels[image, ay, ax], labels[image, by, bx]
            if 255 in (a, b):
                continue
            difference = np.abs(features[image, :, ay, ax] - features[image, :, by, bx])
            w = np.exp(-getattr(difference, distance)())
            if a != b:
                sets["negative"].append(-np.log(1 - w + 1e-5))
            else:
                sets["background" if a == 0 else "foreground"].append(-np.log(w))
    expected = {name: np.mean(values) for name, values in sets.items()}
    expected["loss"] = expected["foreground"] + expected["background"] + 2 * expected["negative"]
    terms = affinity.affinity_losses(
        affinity.pair_distances(torch.from_numpy(features), 5, distance=distance),
        torch.from_numpy(labels),
        5,
    )
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "empty"),
    [
        (255, ["foreground", "background", "negative"]),
        (0, ["foreground", "negative"]),
        (3, ["background", "negative"]),
    ],
)
def test_an_empty_set_gives_zero_and_no_gradient(labels, empty):
    features = torch.rand(1, 2, 4, 5, requires_grad=True)
    terms = affinity.affinity_losses(
        affinity.pair_distances(features, 5), torch.full((1, 4, 5), labels), 5
    )
    terms["loss"].backward()
    assert [name for name in ("foreground", "background", "negative") if terms[name] == 0] == empty
    assert features.grad.isfinite().all()
    assert (features.grad.abs().sum() == 0) == (len(empty) == 3)


def test_a_single_cell_has_no_pairs_and_no_loss():
    features = torch.rand(1, 2, 1, 1, requires_grad=True)
    terms = affinity.affinity_losses(
        affinity.pair_distances(features, 5), torch.zeros(1, 1, 1, dtype=torch.int64), 5
    )
    terms["loss"].backward()
    assert terms["loss"] == 0
    assert features.grad.isfinite().all()


def test_features_that_coincide_have_a_finite_loss_and_gradient():
    """Cells of different classes with the same feature: -log 1e-5, pushed apart at most by 1e5."""
    features = torch.zeros(1, 2, 1, 2, requires_grad=True)
    terms = affinity.affinity_losses(
        affinity.pair_distances(features, 5), torch.tensor([[[0, 1]]]), 5
    )
    terms["loss"].backward()
    assert terms["negative"].item() == pytest.approx(5 * np.log(10), rel=1e-4)
    assert features.grad.isfinite().all()


LABEL_BLOCKS = torch.tensor(
    [
        [1, 1, 0, 0, 255, 255],
        [1, 0, 0, 3, 255, 2],
        [2, 2, 255, 2, 0, 3],
        [2, 9, 255, 255, 3, 3],
    ]
)


def test_labels_are_reduced_by_majority():
    reduced = affinity.reduce_labels(LABEL_BLOCKS[None], 2, reduction="majority")
    assert reduced.tolist() == [[[1, 0, 255], [2, 255, 3]]]


def test_labels_are_reduced_to_the_centre():
    """At an even stride the centre is the cell right below it: pixel (1, 1) of each 2x2 block."""
    reduced = affinity.reduce_labels(LABEL_BLOCKS[None], 2, reduction="centre")
    assert reduced.tolist() == [[[0, 3, 2], [9, 255, 3]]]


class Corners(nn.Module):
    """A network at stride 8 whose features are the red and blue of each 8x8 block."""

    stride = 8

    def __init__(self):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.backbone = SimpleNamespace(stride=8)

    def forward(self, images):
        return F.avg_pool2d(images[:, [0, 2]], 8)


def test_losses_of_images_and_full_size_labels():
    """Two blocks of red 0 and 1 and labels 0 and 3: one pair, at distance 1."""
    images = torch.zeros(1, 3, 8, 16)
    images[:, 0, :, 8:] = 1
    labels = torch.zeros(1, 8, 16, dtype=torch.int64)
    labels[:, :, 8:], labels[:, :3] = 3, 255
    options = {"gamma": 5, "distance": "sum", "reduction": "majority"}
    terms = affinity.losses(Corners(), images, labels, **options)
    assert terms["negative"].item() == pytest.approx(-np.log(1 - np.exp(-1) + 1e-5))
    assert terms["foreground"] == terms["background"] == 0
    halved = affinity.losses(Corners(), images, labels, **options | {"distance": "mean"})
    assert halved["negative"].item() == pytest.approx(-np.log(1 - np.exp(-0.5) + 1e-5))
    labels[:, 4, 4] = 255  # the centre of the first block
    assert affinity.losses(Corners(), images, labels, **options)["loss"] > 0
    assert (
        affinity.losses(Corners(), images, labels, **options | {"reduction": "centre"})["loss"] == 0
    )
    labels[:, 4, 4] = 0
    assert affinity.losses(Corners(), images, labels, **options, border=False)["loss"] == 0


@pytest.mark.parametrize("distance", ["sum", "mean"])
@pytest.mark.parametrize("cells", [(5, 7), (1, 1), (2, 3)])
def test_edges_equal_a_double_loop(rng, cells, distance):
    """exp(-distance) at the earlier cell of each pair, NaN where there is no neighbour."""
    height, width = cells
    colours = rng.integers(0, 256, (*cells, 3), dtype=np.uint8)
    image = colours.repeat(8, 0).repeat(8, 1)
    (edges,) = affinity.edges(Corners(), [image], gamma=5, distance=distance)
    features = colours[..., [0, 2]] / 255
    expected = np.full((34, height, width), np.nan)
    half_plane = [
        (dy, dx)
        for dy, columns in enumerate([(1, 5), (-4, 5), (-4, 5), (-3, 4), (-2, 3)])
        for dx in range(*columns)
    ]
    for p, (dy, dx) in enumerate(half_plane):
        for y in range(height):
            for x in range(width):
                if y + dy < height and 0 <= x + dx < width:
                    difference = np.abs(features[y, x] - features[y + dy, x + dx])
                    expected[p, y, x] = np.exp(-getattr(difference, distance)())
    assert edges.dtype == np.float16
    np.testing.assert_allclose(edges, expected, rtol=1e-3)  # half precision has 11 bits
    assert (np.nan_to_num(edges) <= 1).all()


def test_edges_cover_an_image_of_any_size():
    """33 x 50 pixels are resized to 32 x 48: 4 x 6 cells."""
    image = np.zeros((33, 50, 3), np.uint8)
    (edges,) = affinity.edges(Corners(), [image], gamma=5, distance="sum")
    assert edges.shape == (34, 4, 6)


def test_gradients_of_distances_equal_those_of_autograd():
    generator = torch.Generator().manual_seed(SEED)
    features = torch.randn(2, 3, 7, 6, generator=generator, dtype=torch.float64)
    features.requires_grad_()
    distances = affinity.pair_distances(features, 5, distance="mean")
    weights = [torch.randn(d.shape, generator=generator, dtype=d.dtype) for d in distances]
    (ours,) = torch.autograd.grad(
        sum((d * w).sum() for d, w in zip(distances, weights, strict=True)), features
    )
    total = 0
    for offset, weight in zip(neighbour_offsets(5), weights, strict=True):
        (rows, columns), (other_rows, other_columns) = pair_slices(offset, 7, 6)
        first = features[:, :, rows, columns]
        second = features[:, :, other_rows, other_columns]
        total = total + ((first - second).abs().mean(1) * weight).sum()
    (theirs,) = torch.autograd.grad(total, features)
    torch.testing.assert_close(ours, theirs)


def release_sources(height, width):
    """Cells whose whole half disc of gamma 5 lies in the map: 4 below, 4 on each side."""
    return {(y, x) for y in range(height - 4) for x in range(4, width - 4)}


def test_release_drops_the_pairs_of_border_cells():
    """Every pair on its own: its loss is counted with border, or without, as its source lies."""
    height, width = 7, 10
    sources = release_sources(height, width)
    assert len(sources) == 3 * 2
    labels = torch.zeros(1, height, width, dtype=torch.int64)
    features = torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(SEED))
    kept = []
    for dy, dx in neighbour_offsets(5):
        for y, x in sources:
            ends = features[0, :, y, x] - features[0, :, y + dy, x + dx]
            kept.append(float(ends.abs().sum()))
    assert len(kept) == 34 * 6
    distances = affinity.pair_distances(features, 5)
    terms = affinity.affinity_losses(distances, labels, 5, border=False)
    assert terms["background"].item() == pytest.approx(np.mean(kept), rel=1e-5)
    whole = affinity.affinity_losses(distances, labels, 5)["background"].item()
    every = torch.cat([pair.flatten() for pair in distances])
    assert len(every) == len(pairs_of(height, width, 5))
    assert whole == pytest.approx(every.mean().item(), rel=1e-5)


@pytest.mark.parametrize("size", [(4, 20), (20, 8), (1, 1)])
def test_small_maps_have_no_pairs_without_their_border(size):
    distances = affinity.pair_distances(torch.rand(1, 2, *size), 5)
    labels = torch.zeros(1, *size, dtype=torch.int64)
    terms = affinity.affinity_losses(distances, labels, 5, border=False)
    assert terms["loss"] == 0


def test_pairs_that_are_dropped_cannot_spoil_the_loss():
    """The second of three cells in a row is neutral, and its features have overflowed."""
    features = torch.tensor([1.0, torch.inf, 3.0]).view(1, 1, 1, 3).requires_grad_()
    labels = torch.tensor([[[1, 255, 1]]])
    terms = affinity.affinity_losses(affinity.pair_distances(features, 5), labels, 5)
    assert terms["loss"].item() == 2  # the distance of the first and the third
    terms["loss"].backward()
    assert features.grad[0, 0, 0, [0, 2]].tolist() == [-1, 1]
