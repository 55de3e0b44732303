"""Fully connected CRF (Krahenbuhl and Koltun 2011) over class scores and an image."""

from __future__ import annotations

import numpy as np
import pydensecrf.densecrf as densecrf


class DenseCRF:
    """The pairwise model of one image; refines any number of unaries without being built again.

    image: uint8 [H, W, 3]. labels: number of labels L.
    iterations: mean-field steps.
    gaussian: {sxy, compat} of the smoothness kernel; sxy in pixels.
    bilateral: {sxy, srgb, compat} of the appearance kernel; sxy in pixels, srgb in grey levels.
    """

    def __init__(
        self, image: np.ndarray, labels: int, *, iterations: int, gaussian: dict, bilateral: dict
    ):
        self.shape = (labels, *image.shape[:2])
        self.iterations = iterations
        self.model = densecrf.DenseCRF2D(image.shape[1], image.shape[0], labels)
        self.model.addPairwiseGaussian(sxy=gaussian["sxy"], compat=gaussian["compat"])
        self.model.addPairwiseBilateral(
            sxy=bilateral["sxy"],
            srgb=bilateral["srgb"],
            compat=bilateral["compat"],
            rgbim=np.ascontiguousarray(image),
        )

    def refine(self, scores: np.ndarray) -> np.ndarray:
        """Label probabilities float32 [L, H, W] from scores [L, H, W] in [0, 1] (1e-5 at least).

        A factor that all labels of a pixel share does not matter. Raises ValueError on another
        shape than the model's.
        """
        if scores.shape != self.shape:
            raise ValueError(
                f"scores have shape {scores.shape}, the CRF was built for {self.shape}"
            )
        unary = -np.log(np.clip(scores, 1e-5, None)).reshape(self.shape[0], -1)
        self.model.setUnaryEnergy(np.ascontiguousarray(unary, np.float32))
        return np.array(self.model.inference(self.iterations), np.float32).reshape(self.shape)
