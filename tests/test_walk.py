"""The random walk (paper, eq. 11 and 12) against dense matrices built by double loops."""

import numpy as np
import pytest
import torch
from numpy.polynomial import chebyshev

from psa_core.method import walk

# The half plane of gamma 5 written out: 4 + 9 + 9 + 7 + 5 = 34 offsets (dy, dx).
OFFSETS = [
    (dy, dx)
    for dy, columns in enumerate(
        [range(1, 5), range(-4, 5), range(-4, 5), range(-3, 4), range(-2, 3)]
    )
    for dx in columns
]


def random_edges(rng, height, width):
    """Affinities in [0, 1]; NaN where the neighbour lies outside the map."""
    edges = rng.random((len(OFFSETS), height, width))
    for p, (dy, dx) in enumerate(OFFSETS):
        for y in range(height):
            for x in range(width):
                if y + dy >= height or not 0 <= x + dx < width:
                    edges[p, y, x] = np.nan
    return edges


def dense_transition(edges, beta):
    """T of eq. 11, [N, N], cell by cell."""
    _, height, width = edges.shape
    weights = np.eye(height * width)
    for p, (dy, dx) in enumerate(OFFSETS):
        for y in range(height):
            for x in range(width):
                if not np.isnan(edges[p, y, x]):
                    i, j = y * width + x, (y + dy) * width + x + dx
                    weights[i, j] = weights[j, i] = edges[p, y, x] ** beta
    return weights / weights.sum(1, keepdims=True)


def spread(scores, edges, *, beta=8, t=256, tolerance=1e-6):
    return walk.propagate(scores, edges, gamma=5, beta=beta, t=t, tolerance=tolerance)


SIZES = [(1, 1), (1, 7), (7, 1), (2, 3), (6, 5), (12, 9)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("beta", "t"), [(8, 256), (8, 16), (1, 7), (8, 1), (8, 65_536)])
@pytest.mark.parametrize("affinities", ["any", "0 and 1"])
def test_equals_the_dense_matrix_power(rng, size, beta, t, affinities):
    edges, scores = random_edges(rng, *size), rng.random((3, *size))
    if affinities == "0 and 1":
        edges = np.round(edges)  # NaN stays
    power = np.linalg.matrix_power(dense_transition(edges, beta), t)
    expected = (power @ scores.reshape(3, -1).T).T.reshape(3, *size)
    walked = spread(scores, edges, beta=beta, t=t)
    assert np.abs(walked - expected).max() < 1e-5 * expected.max()
    assert walked.shape == (3, *size)
    assert walked.dtype == np.float32


@pytest.mark.parametrize("t", [1, 2, 3, 4])
def test_few_steps_are_exact(rng, t):
    """All terms of the series are needed, so nothing is left out."""
    edges, scores = random_edges(rng, 6, 5), rng.random((2, 6, 5))
    power = np.linalg.matrix_power(dense_transition(edges, 8), t)
    expected = (power @ scores.reshape(2, -1).T).T.reshape(2, 6, 5)
    np.testing.assert_allclose(spread(scores, edges, t=t), expected, rtol=2e-6)


def test_two_cells_by_hand():
    # W = [[1, .5^2], [.5^2, 1]], rows sum to 1.25: T = [[.8, .2], [.2, .8]]; its eigenvalues are
    # 1 and .6, so T^2 (1, 0) = (1 + .36, 1 - .36) / 2.
    edges = np.full((len(OFFSETS), 1, 2), np.nan)
    edges[0, 0, 0] = 0.5
    scores = np.array([[[1.0, 0.0]]])
    np.testing.assert_allclose(spread(scores, edges, beta=2, t=1), [[[0.8, 0.2]]], atol=1e-7)
    np.testing.assert_allclose(spread(scores, edges, beta=2, t=2), [[[0.68, 0.32]]], atol=1e-7)


def test_several_lengths_come_out_of_one_recurrence(rng):
    edges, scores = random_edges(rng, 6, 5), rng.random((2, 6, 5))
    lengths = [128, 1, 7]
    walked = walk.propagate_each(scores, edges, gamma=5, beta=2, t=lengths, tolerance=1e-6)
    assert walked.shape == (3, 2, 6, 5)
    assert walked.dtype == np.float32
    for t, each in zip(lengths, walked, strict=True):
        power = np.linalg.matrix_power(dense_transition(edges, 2), t)
        expected = (power @ scores.reshape(2, -1).T).T.reshape(2, 6, 5)
        np.testing.assert_allclose(each, expected, atol=5e-6)
        single = spread(scores, edges, beta=2, t=t)
        np.testing.assert_allclose(each, single, rtol=1e-6)


def test_a_column_does_not_depend_on_its_neighbours(rng):
    """So the walk of a class map may share its products with any other maps."""
    edges, scores = random_edges(rng, 12, 9), rng.random((9, 12, 9))
    together = spread(scores, edges)
    for k in (0, 4, 8):
        np.testing.assert_allclose(spread(scores[k : k + 1], edges)[0], together[k], rtol=1e-6)


def test_products_stay_on_the_device_of_the_matrix():
    """Of torch's devices without memory: whatever goes through the CPU fails there."""
    matrix, vectors = torch.eye(4, device="meta"), torch.ones(4, 2, device="meta")
    walked = walk.powers(matrix, vectors, [1, 4, 256], 1e-5)
    assert walked.device.type == "meta"
    assert walked.shape == (3, 4, 2)


def test_device_by_name(rng):
    edges, scores = random_edges(rng, 6, 5), rng.random((2, 6, 5))
    settings = {"gamma": 5, "beta": 8, "t": 16, "tolerance": 1e-6}
    power = np.linalg.matrix_power(dense_transition(edges, 8), 16)
    expected = (power @ scores.reshape(2, -1).T).T.reshape(2, 6, 5)
    for device in ("cpu", torch.device("cpu")):
        walked = walk.propagate(scores, edges, **settings, device=device)
        np.testing.assert_allclose(walked, expected, atol=5e-6)
    with pytest.raises(NotImplementedError):  # there is nothing to copy from that device
        walk.propagate(scores, edges, **settings, device="meta")


@pytest.mark.parametrize("size", SIZES)
def test_constants_stay_constant(rng, size):
    """The rows of T^t sum to 1, whatever the series leaves out."""
    scores = np.array([0.25, 1.0])[:, None, None] * np.ones(size)
    walked = spread(scores, random_edges(rng, *size), tolerance=1e-2)
    np.testing.assert_allclose(walked, scores, rtol=1e-5)  # float32, 60 products


def test_walk_stays_between_the_least_and_the_greatest_score(rng):
    scores = np.zeros((2, 12, 9))
    scores[0, :4], scores[1, 5, 5] = 1, 0.5
    walked = spread(scores, random_edges(rng, 12, 9), t=16, tolerance=1e-2)
    assert walked.min() >= 0
    assert (walked.max((1, 2)) <= [1, 0.5]).all()


def test_isolated_cells_keep_their_scores(rng):
    edges = np.where(np.isnan(random_edges(rng, 4, 6)), np.nan, 0.0)
    scores = rng.random((2, 4, 6))
    np.testing.assert_allclose(spread(scores, edges), scores, rtol=1e-6)


def test_nothing_crosses_a_wall(rng):
    """Two halves without affinity between them: a score in one never reaches the other."""
    edges = random_edges(rng, 8, 12)
    for p, (_, dx) in enumerate(OFFSETS):
        for x in range(12):
            if (x < 6) != (x + dx < 6):
                edges[p, :, x] = np.where(np.isnan(edges[p, :, x]), np.nan, 0)
    scores = np.zeros((1, 8, 12))
    scores[0, :, :6] = rng.random((8, 6))
    walked = spread(scores, edges)
    np.testing.assert_array_equal(walked[0, :, 6:], 0)
    assert walked[0, :, :6].min() > 0


def test_half_precision_edges_lose_nothing_more(rng):
    edges, scores = random_edges(rng, 6, 5).astype(np.float16), rng.random((2, 6, 5))
    expected = spread(scores, edges.astype(np.float64))
    np.testing.assert_array_equal(spread(scores, edges), expected)


def test_laplacian_is_the_symmetric_form_of_the_matrix(rng):
    edges = random_edges(rng, 4, 5)
    laplacian, root = walk.laplacian(edges, gamma=5, beta=8)
    expected = np.eye(20) - dense_transition(edges, 8)
    assert laplacian.dtype == np.float32
    np.testing.assert_array_equal(laplacian.toarray(), laplacian.toarray().T)
    np.testing.assert_allclose(laplacian.toarray() * root / root[:, None], expected, rtol=5e-7)


def test_input_that_does_not_fit_is_refused(rng):
    edges, scores = random_edges(rng, 4, 5), rng.random((2, 4, 5))
    with pytest.raises(ValueError, match=r"\(2, 5, 4\).*\(34, 4, 5\)"):
        spread(scores.transpose(0, 2, 1), edges)
    with pytest.raises(ValueError, match=r"33 offsets.*34"):
        spread(scores, edges[:-1])
    for wrong in (np.nan, -0.1, 1.1):
        broken = edges.copy()
        broken[0, 0, 0] = wrong
        with pytest.raises(ValueError, match=r"outside \[0, 1\] or a NaN"):
            spread(scores, broken)


@pytest.mark.parametrize("t", [1, 2, 3, 4, 8, 16])
def test_coefficients_are_those_of_the_monomial(t):
    expected = chebyshev.poly2cheb([0] * t + [1])
    np.testing.assert_allclose(walk.chebyshev_coefficients(t, 1e-15), expected, atol=1e-14)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
def test_cut_series_is_as_near_as_it_claims(tolerance):
    x = np.linspace(-1, 1, 4001)
    coefficients = walk.chebyshev_coefficients(256, tolerance)
    error = np.abs(chebyshev.chebval(x, coefficients) - x**256).max()
    assert error <= 2 * tolerance
    assert coefficients.sum() == pytest.approx(1, abs=1e-14)
    # It is no longer than it must be: one term fewer would leave out more than allowed.
    exact = chebyshev.poly2cheb([0] * 64 + [1])
    short = walk.chebyshev_coefficients(64, tolerance)
    assert exact[len(short) :].sum() <= tolerance < exact[len(short) - 1 :].sum()


def test_sixty_four_terms_are_enough_for_256_steps():
    """As measured with the dense power: 64 terms leave out a few 1e-5 (Hoeffding: < 7e-4)."""
    assert len(walk.chebyshev_coefficients(256, 1e-4)) <= 65


def test_without_tolerance_every_term_is_kept():
    np.testing.assert_allclose(
        walk.chebyshev_coefficients(16, 0), chebyshev.poly2cheb([0] * 16 + [1]), atol=1e-14
    )
    assert len(walk.chebyshev_coefficients(256, 0)) == 257
