"""Random walk of class scores over pixel affinities (paper, section 3.3)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np
import torch
from scipy import sparse
from scipy.stats import binom

from psa_core.method.pairs import neighbour_offsets, pair_slices

CELLS = 47 * 63  # of the map of an image of 375 x 500 pixels
# Rounding errors grow with the steps. In float32 they were up to 4e-6 of the greatest score after
# 256 steps and 1.4e-3 after 65,536; a longer walk than this is computed in float64.
MOST_STEPS_IN_FLOAT32 = 2048


def steps(t: int, cells: int) -> int:
    """Number of steps on a map of `cells` cells that spread scores as far as t steps on CELLS do,
    relative to the size of the map.

    The distance that a walk covers grows with the square root of its steps, and lengths in a map
    with the square root of its cells.
    """
    return max(1, round(t * cells / CELLS))


def propagate(
    scores: np.ndarray,
    edges: np.ndarray,
    *,
    gamma: float,
    beta: float,
    t: int,
    tolerance: float,
    scale_t: bool = False,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Apply t steps of a random walk to class scores (paper, eq. 11 and 12).

    scores: float [K, H, W] in [0, 1], background first.
    edges: float [P, H, W] in [0, 1], the affinity of each cell to its neighbour at offset p; NaN
    where that lies outside the map.
    gamma: radius of the neighbourhood of `edges`. beta: exponent of the affinities.
    scale_t: take `steps(t, H * W)` in place of t.
    tolerance: bound on the coefficients that `powers` omits from the Chebyshev series.
    device: where the products are computed.
    Returns float32 [K, H, W]. The 2-norm of a map's error, with cells weighted by their degrees, is
    at most 2 * tolerance of the map's. At a tolerance of 1e-5 the error of a cell, including
    rounding, was at most 7e-6 of the greatest score (measured on a random map of 3840 x 2160
    pixels). Time and memory grow linearly with the number of cells.
    Raises ValueError if shapes disagree or an affinity is outside [0, 1].
    """
    (walked,) = propagate_each(
        scores,
        edges,
        gamma=gamma,
        beta=beta,
        t=[t],
        tolerance=tolerance,
        scale_t=scale_t,
        device=device,
    )
    return walked


def propagate_each(
    scores: np.ndarray,
    edges: np.ndarray,
    *,
    gamma: float,
    beta: float,
    t: Sequence[int],
    tolerance: float,
    scale_t: bool = False,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Like `propagate`, for T values of t; returns float32 [T, K, H, W].

    They share one recurrence, so all of them take about the time of the longest.
    """
    if scores.shape[1:] != edges.shape[1:]:
        raise ValueError(f"scores of shape {scores.shape} and edges of shape {edges.shape}")
    lengths = [steps(each, edges[0].size) for each in t] if scale_t else t
    dtype = np.float32 if max(lengths) <= MOST_STEPS_IN_FLOAT32 else np.float64
    matrix, root_degree = laplacian(edges, gamma=gamma, beta=beta, dtype=dtype)
    # T^t = D^-1/2 S^t D^1/2 with S = I - L symmetric: only S has a Chebyshev expansion.
    root = torch.from_numpy(root_degree)[:, None].to(device)
    vectors = torch.from_numpy(scores.reshape(len(scores), -1).astype(dtype)).T.to(device)
    walked = powers(_to_torch(matrix).to(device), vectors * root, lengths, tolerance) / root
    return walked.float().transpose(1, 2).reshape(len(t), *scores.shape).cpu().numpy()


def laplacian(
    edges: np.ndarray, *, gamma: float, beta: float, dtype: type[np.floating] = np.float32
) -> tuple[sparse.csr_array, np.ndarray]:
    """Normalised Laplacian of the graph whose transition matrix is T = D^-1 W^(o beta) (eq. 11).

    edges, gamma, beta: see `propagate`. W is symmetric with 1 on its diagonal, o beta its
    element-wise power, D_ii the sum of row i of W^(o beta).
    dtype: of both results.
    Returns L = I - S with S = D^1/2 T D^-1/2 = D^-1/2 W^(o beta) D^-1/2, sparse [N, N] with
    N = H * W cells in row-major order, and the diagonal of D^1/2, [N].
    Raises ValueError if edges are not those of gamma, or hold a value outside [0, 1].
    """
    count, height, width = edges.shape
    offsets = neighbour_offsets(gamma)
    if count != len(offsets):
        raise ValueError(f"edges have {count} offsets, gamma {gamma} has {len(offsets)}")
    # The neighbour of cell i at (dy, dx) is cell i + step. In a narrow map several offsets have the
    # same step, but each cell has at most one of these neighbours.
    cells = height * width
    weights: dict[int, np.ndarray] = {}
    for (dy, dx), affinity in zip(offsets, edges, strict=True):
        first, _ = pair_slices((dy, dx), height, width)
        inside = affinity[first]
        if not inside.size:
            continue
        if not (inside.min() >= 0 and inside.max() <= 1):
            raise ValueError("edges hold an affinity outside [0, 1] or a NaN inside the map")
        weight = weights.setdefault(dy * width + dx, np.zeros(cells, dtype))
        weight.reshape(height, width)[first] += inside.astype(np.float64) ** beta
    degree = np.ones(cells)
    for step, weight in weights.items():
        degree += weight
        degree[step:] += weight[:-step]
    root = np.sqrt(degree)
    diagonals = {0: ((degree - 1) / degree).astype(dtype)}
    for step, weight in weights.items():
        weight[:-step] /= -root[:-step] * root[step:]
        diagonals[-step] = weight
        diagonals[step] = np.roll(weight, step)  # SciPy aligns a diagonal with its columns
    matrix = sparse.dia_array((list(diagonals.values()), list(diagonals)), shape=(cells, cells))
    return matrix.tocsr(), root.astype(dtype)


def powers(
    laplacian: torch.Tensor, vectors: torch.Tensor, lengths: Sequence[int], tolerance: float
) -> torch.Tensor:
    """Apply (I - L)^t to vectors for each t of `lengths`, by Chebyshev expansions.

    laplacian: L, symmetric [N, N] with its spectrum in [0, 2]; sparse or dense.
    vectors: float [N, K]. tolerance: see `chebyshev_coefficients`.
    Returns float [T, N, K]. The error of each vector is at most 2 * tolerance of its 2-norm.
    """
    series = [chebyshev_coefficients(t, tolerance).tolist() for t in lengths]
    results = vectors.new_zeros(len(lengths), *vectors.shape)
    terms = _chebyshev_terms(laplacian, vectors)
    for coefficients, term in zip(zip_longest(*series, fillvalue=0.0), terms, strict=False):
        for result, coefficient in zip(results, coefficients, strict=True):
            if coefficient:
                result += coefficient * term
    return results


def _chebyshev_terms(laplacian: torch.Tensor, vectors: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield T_k(I - L) applied to vectors [N, K] for k = 0, 1, 2, ..., each in the same memory.

    The usual recurrence, 2 S T_k - T_(k-1), turns rounding errors of a constant map into an error
    that grows with k^2. The differences of its terms, 2 L T_k, are zero for such a map.
    """
    now, difference = vectors.clone(), -(laplacian @ vectors)
    while True:
        yield now
        now += difference
        difference.addmm_(laplacian, now, alpha=-2)


def chebyshev_coefficients(t: int, tolerance: float) -> np.ndarray:
    """Coefficients c_0, ..., c_K of x^t = sum c_k T_k(x), float64 [K + 1].

    c_k = 2 Binom((t - k) / 2; t, 1/2) for even t - k, half of that at k = 0; all of them sum to 1.
    K is the least for which the omitted coefficients sum to at most `tolerance`. Those that remain
    are scaled to sum to 1, so that the eigenvector of eigenvalue 1 is kept: constants stay constant
    under the walk.
    """
    k = np.arange(t + 1)
    coefficients = np.where((t - k) % 2 == 0, 2 * binom.pmf((t - k) // 2, t, 0.5), 0.0)
    coefficients[0] /= 2
    rest = np.append(np.cumsum(coefficients[:0:-1])[::-1], 0.0)
    kept = coefficients[: int(np.argmax(rest <= tolerance)) + 1]
    return kept / kept.sum()


def _to_torch(matrix: sparse.csr_array) -> torch.Tensor:
    """Convert to torch, whose products took a third of SciPy's time (47 x 63 cells, one thread)."""
    parts = matrix.indptr, matrix.indices, torch.from_numpy(matrix.data)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(*parts, matrix.shape, check_invariants=False)
