"""Dense conditional random field of an image (Kraehenbuehl and Koltun 2011)."""

from __future__ import annotations

import numpy as np
import pydensecrf.densecrf as densecrf

LOWEST_SCORE = 1e-5


def dense_crf(
    image: np.ndarray, scores: np.ndarray, *, iterations: int, gaussian: dict, bilateral: dict
) -> np.ndarray:
    """Label probabilities by mean-field inference, for several sets of scores of one image.

    image: uint8 [H, W, 3]. scores: float [S, L, H, W], S sets of scores of L labels in [0, 1]
    (1e-5 at least); a factor that all labels of a pixel share does not matter.
    iterations: mean-field steps.
    gaussian: {sxy, compat} of the smoothness kernel; sxy in pixels.
    bilateral: {sxy, srgb, compat} of the appearance kernel; sxy in pixels, srgb in grey levels.
    Returns float32 [S, L, H, W], each set as if it had been alone. The sets share one pairwise
    model and the look-ups of its filters, which take most of the time. Raises ValueError where
    image and scores differ in size.
    """
    sets, labels, height, width = scores.shape
    if image.shape[:2] != (height, width):
        raise ValueError(f"scores of shape {scores.shape} for an image of shape {image.shape}")
    options = {"iterations": iterations, "gaussian": gaussian, "bilateral": bilateral}
    if sets > 1 and gaussian["compat"] + bilateral["compat"] > 60:
        # The best energies of two sets could then differ so much that float32 drops one of them.
        return np.concatenate([dense_crf(image, each[None], **options) for each in scores])
    model = densecrf.DenseCRF2D(width, height, sets * labels)
    model.addPairwiseGaussian(sxy=gaussian["sxy"], compat=gaussian["compat"])
    model.addPairwiseBilateral(
        sxy=bilateral["sxy"],
        srgb=bilateral["srgb"],
        compat=bilateral["compat"],
        rgbim=np.ascontiguousarray(image),
    )
    unary = -np.log(scores.clip(LOWEST_SCORE, None).reshape(sets * labels, -1))
    model.setUnaryEnergy(np.ascontiguousarray(unary, np.float32))
    # Potts kernels filter each label by itself. Only the soft max joins them: over all sets at
    # once, which becomes each set's own when that set's probabilities are made to sum to 1.
    state = model.startInference()
    probabilities = np.asarray(state[0]).reshape(sets, labels, -1)
    probabilities /= _sum_over_labels(probabilities)
    for _ in range(iterations):
        model.stepInference(*state)
        probabilities /= _sum_over_labels(probabilities)
    return probabilities.reshape(scores.shape).copy()


def _sum_over_labels(probabilities: np.ndarray) -> np.ndarray:
    """[S, 1, N] of [S, L, N] whose labels lie side by side: NumPy's sum is 5 times slower there."""
    total = probabilities[:, :1].copy()
    for label in range(1, probabilities.shape[1]):
        total += probabilities[:, label : label + 1]
    return total
