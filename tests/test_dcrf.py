"""The dense CRF against mean-field iterations written out with dense kernels."""

import numpy as np
import pydensecrf.densecrf as densecrf
import pytest

from psa_core.method.dcrf import dense_crf, scaled

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
    found = dense_crf(image, scores[None], **options)[0]
    assert np.abs(found - expected).max() < 0.05
    assert np.abs(found - expected).mean() < 0.05 * np.abs(expected - scores).mean()


def library_alone(image, scores, *, iterations, gaussian, bilateral):
    model = densecrf.DenseCRF2D(image.shape[1], image.shape[0], len(scores))
    model.addPairwiseGaussian(**gaussian)
    model.addPairwiseBilateral(rgbim=image, **bilateral)
    unary = -np.log(scores.clip(1e-5)).astype(np.float32).reshape(len(scores), -1)
    model.setUnaryEnergy(np.ascontiguousarray(unary))
    return np.reshape(model.inference(iterations), scores.shape)


def test_sets_of_scores_do_not_meet(rng):
    """Several in one model: what the library's own inference gives for each in a model alone."""
    image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    scores = rng.random((3, 4, 20, 30)) ** 3
    found = dense_crf(image, scores, **RELEASE)
    for each, one in zip(scores, found, strict=True):
        np.testing.assert_allclose(one, library_alone(image, each, **RELEASE), atol=1e-4)
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_strong_kernels_of_one_set_leave_the_other():
    """A certain set beside an undecided one: their energies lie 150 apart, e^-150 is 0."""
    image = np.full((20, 30, 3), 90, np.uint8)
    scores = np.full((2, 3, 20, 30), 1 / 3)
    scores[0] = np.array([0.99, 0.005, 0.005])[:, None, None]
    options = {**RELEASE, "bilateral": {"sxy": 80, "srgb": 13, "compat": 200}}
    np.testing.assert_allclose(dense_crf(image, scores, **options)[1], 1 / 3, atol=1e-3)


def test_probabilities_sum_to_one(rng):
    image = rng.integers(0, 256, (9, 16, 3), dtype=np.uint8)
    refined = dense_crf(image, rng.random((1, 4, 9, 16)), **RELEASE)[0]
    assert refined.shape == (4, 9, 16)
    assert refined.dtype == np.float32
    np.testing.assert_allclose(refined.sum(0), 1, atol=1e-5)


def test_without_pairwise_terms_scores_are_only_normalised(rng):
    image = rng.integers(0, 256, (9, 16, 3), dtype=np.uint8)
    none = {"gaussian": {"sxy": 3, "compat": 0}, "bilateral": {"sxy": 3, "srgb": 3, "compat": 0}}
    scores = rng.uniform(0.1, 1, (3, 9, 16))
    refined = dense_crf(image, 5 * scores[None], iterations=3, **none)[0]
    np.testing.assert_allclose(refined, scores / scores.sum(0), atol=1e-5)


def test_a_lone_pixel_in_a_uniform_area_is_overruled():
    image = np.full((21, 21, 3), 100, np.uint8)
    scores = np.stack([np.full((21, 21), 0.9), np.full((21, 21), 0.1)])
    scores[:, 10, 10] = 0.1, 0.9
    assert scores.argmax(0).sum() == 1
    assert dense_crf(image, scores[None], **RELEASE)[0].argmax(0).sum() == 0


def test_labels_are_drawn_to_an_edge_of_the_image():
    """Scores change at column 6, the image at column 10 (rows and columns must not be swapped)."""
    image = np.full((8, 24, 3), 40, np.uint8)
    image[:, 10:] = 200
    right = np.where(np.arange(24) < 6, 0.1, np.where(np.arange(24) < 10, 0.55, 0.9))
    scores = np.stack([1 - right, right])[:, None].repeat(8, 1)
    refined = dense_crf(image, scores[None], **RELEASE)[0].argmax(0)
    np.testing.assert_array_equal(refined, [[0] * 10 + [1] * 14] * 8)


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2, 12, 8\).*\(8, 12, 3\)"):
        dense_crf(np.zeros((8, 12, 3), np.uint8), np.ones((1, 2, 12, 8)), **RELEASE)


def test_kernels_shrink_with_the_image():
    small, dcrf = scaled(np.full((48, 65, 3), 90, np.uint8), RELEASE, 0.5)
    np.testing.assert_array_equal(small, np.full((24, 32, 3), 90))
    assert dcrf == {
        "iterations": 10,
        "gaussian": {"sxy": 1.5, "compat": 3},
        "bilateral": {"sxy": 40, "srgb": 13, "compat": 10},
    }
