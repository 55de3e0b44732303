"""The dense CRF against mean-field iterations written out with dense kernels."""

import numpy as np
import pytest

from psa_core.dcrf import DenseCRF

RELEASE = {
    "iterations": 10,
    "gaussian": {"sxy": 3, "compat": 3},
    "bilateral": {"sxy": 80, "srgb": 13, "compat": 10},
}


def dense_mean_field(image, scores, *, iterations, gaussian, bilateral):
    """Krahenbuhl and Koltun's algorithm 1 with Potts compatibility, every pair of pixels summed.

    Kernels are normalised symmetrically, D^-1/2 K D^-1/2, as in their implementation.
    """
    labels, height, width = scores.shape
    rows, columns = np.indices((height, width))
    place = np.stack([rows, columns], -1).reshape(-1, 2).astype(float)
    colour = image.reshape(-1, 3).astype(float)

    def kernel(features):
        k = np.exp(-0.5 * ((features[:, None] - features[None]) ** 2).sum(-1))
        root = np.sqrt(k.sum(1))
        return k / root[:, None] / root

    appearance = np.hstack([place / bilateral["sxy"], colour / bilateral["srgb"]])
    pairwise = gaussian["compat"] * kernel(place / gaussian["sxy"])
    pairwise = pairwise + bilateral["compat"] * kernel(appearance)
    unary = np.log(np.clip(scores, 1e-5, None)).reshape(labels, -1)
    energy = unary
    for _ in range(iterations + 1):
        probabilities = np.exp(energy - energy.max(0))
        probabilities /= probabilities.sum(0)
        energy = unary + probabilities @ pairwise
    return probabilities.reshape(scores.shape)


@pytest.fixture
def two_halves(rng):
    """A dark and a light half, a little noise, and scores that follow them loosely."""
    image = np.full((12, 14, 3), 60, np.uint8)
    image[:, 7:] = 180
    image += rng.integers(0, 12, image.shape, dtype=np.uint8)
    right = np.where(np.arange(14) < 7, 0.35, 0.65) + rng.normal(0, 0.12, (12, 14))
    right = right.clip(0.05, 0.95)
    return image, np.stack([1 - right, right])


@pytest.mark.parametrize("iterations", [1, 10])
@pytest.mark.parametrize("weights", [(3, 0), (0, 1), (1, 1)])
def test_agrees_with_dense_mean_field(two_halves, iterations, weights):
    """The permutohedral lattice approximates the kernels: within a few per cent here."""
    image, scores = two_halves
    options = {
        "iterations": iterations,
        "gaussian": {"sxy": 3, "compat": weights[0]},
        "bilateral": {"sxy": 20, "srgb": 13, "compat": weights[1]},
    }
    expected = dense_mean_field(image, scores, **options)
    found = DenseCRF(image, 2, **options).refine(scores)
    assert np.abs(found - expected).max() < 0.05
    assert np.abs(found - expected).mean() < 0.05 * np.abs(expected - scores).mean()


def test_one_model_refines_like_two(rng):
    image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    first, second = rng.random((2, 3, 20, 30))
    shared = DenseCRF(image, 3, **RELEASE)
    for scores in (first, second, first):
        alone = DenseCRF(image, 3, **RELEASE).refine(scores)
        np.testing.assert_array_equal(shared.refine(scores), alone)
    assert np.abs(shared.refine(first) - shared.refine(second)).max() > 0.1


def test_probabilities_sum_to_one(rng):
    image = rng.integers(0, 256, (9, 16, 3), dtype=np.uint8)
    refined = DenseCRF(image, 4, **RELEASE).refine(rng.random((4, 9, 16)))
    assert refined.shape == (4, 9, 16)
    assert refined.dtype == np.float32
    np.testing.assert_allclose(refined.sum(0), 1, atol=1e-5)


def test_without_pairwise_terms_scores_are_only_normalised(rng):
    image = rng.integers(0, 256, (9, 16, 3), dtype=np.uint8)
    none = {"gaussian": {"sxy": 3, "compat": 0}, "bilateral": {"sxy": 3, "srgb": 3, "compat": 0}}
    scores = rng.uniform(0.1, 1, (3, 9, 16))
    refined = DenseCRF(image, 3, iterations=3, **none).refine(5 * scores)
    np.testing.assert_allclose(refined, scores / scores.sum(0), atol=1e-5)


def test_a_lone_pixel_in_a_uniform_area_is_overruled():
    image = np.full((21, 21, 3), 100, np.uint8)
    scores = np.stack([np.full((21, 21), 0.9), np.full((21, 21), 0.1)])
    scores[:, 10, 10] = 0.1, 0.9
    assert scores.argmax(0).sum() == 1
    assert DenseCRF(image, 2, **RELEASE).refine(scores).argmax(0).sum() == 0


def test_labels_are_drawn_to_an_edge_of_the_image():
    """Scores change at column 6, the image at column 10 (rows and columns must not be swapped)."""
    image = np.full((8, 24, 3), 40, np.uint8)
    image[:, 10:] = 200
    right = np.where(np.arange(24) < 6, 0.1, np.where(np.arange(24) < 10, 0.55, 0.9))
    scores = np.stack([1 - right, right])[:, None].repeat(8, 1)
    refined = DenseCRF(image, 2, **RELEASE).refine(scores).argmax(0)
    np.testing.assert_array_equal(refined, [[0] * 10 + [1] * 14] * 8)


def test_other_shapes_are_refused():
    model = DenseCRF(np.zeros((8, 12, 3), np.uint8), 2, **RELEASE)
    for shape in [(3, 8, 12), (2, 12, 8)]:
        with pytest.raises(ValueError, match=r"shape \(\d+, \d+, \d+\).*\(2, 8, 12\)"):
            model.refine(np.ones(shape))
