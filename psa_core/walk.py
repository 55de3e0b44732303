"""Random walk of class scores over pixel affinities (paper, section 3.3)."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.stats import binom

from psa_core.pairs import neighbour_offsets, pair_slices


def propagate(
    scores: np.ndarray,
    edges: np.ndarray,
    *,
    gamma: float,
    beta: float,
    log2_t: int,
    tolerance: float,
) -> np.ndarray:
    """Multiply class scores t = 2^log2_t times by the transition matrix (paper, eq. 11 and 12).

    scores: float [K, H, W], background first, in [0, 1].
    edges: float [P, H, W], affinity of each cell to its neighbour at offset p; NaN outside.
    tolerance: bound on what `power` leaves out of the Chebyshev series.
    Returns float32 [K, H, W]; each cell a convex combination of the input's.
    Raises ValueError where shapes disagree or an affinity is outside [0, 1].
    """
    if scores.shape[1:] != edges.shape[1:]:
        raise ValueError(f"scores of shape {scores.shape} and edges of shape {edges.shape}")
    symmetric, root_degree = transition(edges, gamma=gamma, beta=beta)
    # T^t = D^-1/2 S^t D^1/2 with S symmetric: only S has a Chebyshev expansion.
    vectors = scores.reshape(len(scores), -1).T * root_degree[:, None]
    spread = power(symmetric, vectors, 2**log2_t, tolerance) / root_degree[:, None]
    return spread.T.reshape(scores.shape).astype(np.float32)


def transition(
    edges: np.ndarray, *, gamma: float, beta: float
) -> tuple[sparse.csr_array, np.ndarray]:
    """S = D^-1/2 W^(o beta) D^-1/2, sparse [N, N], and D^1/2, float [N] (paper, eq. 11).

    W has 1 on its diagonal; D_ii is the sum of row i of W^(o beta); T = D^-1 W^(o beta).
    """
    count, height, width = edges.shape
    offsets = neighbour_offsets(gamma)
    if count != len(offsets):
        raise ValueError(f"edges have {count} offsets, gamma {gamma} has {len(offsets)}")
    cell = np.arange(height * width, dtype=np.int32).reshape(height, width)
    firsts, seconds, weights = [], [], []
    for offset, affinity in zip(offsets, edges, strict=True):
        first, second = pair_slices(offset, height, width)
        firsts.append(cell[first].ravel())
        seconds.append(cell[second].ravel())
        weights.append(affinity[first].ravel())
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    weight = np.concatenate(weights).astype(np.float64)
    if not (weight.min(initial=0) >= 0 and weight.max(initial=0) <= 1):
        raise ValueError("edges hold an affinity outside [0, 1] or a NaN inside the map")
    weight **= beta
    cells = cell.size
    degree = 1 + np.bincount(first, weight, cells) + np.bincount(second, weight, cells)
    root = np.sqrt(degree)
    weight /= root[first] * root[second]
    diagonal = cell.ravel()
    symmetric = sparse.csr_array(
        (
            np.concatenate([weight, weight, 1 / degree]),
            (np.concatenate([first, second, diagonal]), np.concatenate([second, first, diagonal])),
        ),
        shape=(cells, cells),
    )
    return symmetric, root


def power(symmetric: sparse.csr_array, vectors: np.ndarray, t: int, tolerance: float) -> np.ndarray:
    """S^t applied to vectors [N, K] by a Chebyshev expansion; S symmetric, spectrum in [-1, 1].

    The error is at most 2 * tolerance in the 2-norm, relative to that of each vector.
    """
    coefficients = chebyshev_coefficients(t, tolerance)
    before, now = vectors, symmetric @ vectors
    result = coefficients[0] * before
    if len(coefficients) > 1:
        result += coefficients[1] * now
    for coefficient in coefficients[2:]:
        before, now = now, 2 * (symmetric @ now) - before
        if coefficient:
            result += coefficient * now
    return result


def chebyshev_coefficients(t: int, tolerance: float) -> np.ndarray:
    """c_0 .. c_K of x^t = sum c_k T_k(x), cut where the rest sums to at most `tolerance`.

    They are binomial, c_k = 2 Binom((t - k) / 2; t, 1/2) for even t - k and half of that at k = 0,
    and sum to 1. What is cut is given back in proportion, so that S^t keeps the eigenvector of
    eigenvalue 1: constants stay constant under the walk.
    """
    k = np.arange(t + 1)
    coefficients = np.where((t - k) % 2 == 0, 2 * binom.pmf((t - k) // 2, t, 0.5), 0.0)
    coefficients[0] /= 2
    rest = np.append(np.cumsum(coefficients[:0:-1])[::-1], 0.0)
    kept = coefficients[: int(np.argmax(rest <= tolerance)) + 1]
    return kept / kept.sum()
