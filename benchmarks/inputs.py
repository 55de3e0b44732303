"""Inputs of benchmarks; imports nothing of psa_core, so that any commit can be timed with them."""

import numpy as np


def noisy_squares(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of squares of one colour with noise, and two class maps of its size."""
    rng = np.random.default_rng(0)
    cells = (-(-height // 25), -(-width // 25))

    def enlarged(values: np.ndarray) -> np.ndarray:
        return values.repeat(25, -2).repeat(25, -1)[..., :height, :width]

    colours = enlarged(rng.integers(0, 256, (3, *cells))).transpose(1, 2, 0)
    image = (colours + rng.normal(0, 12, colours.shape)).clip(0, 255).astype(np.uint8)
    return image, enlarged(rng.random((2, *cells), dtype=np.float32))
