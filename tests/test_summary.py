"""The table of networks: parameters, operations, maps."""

import pytest

from psa_core.networks import summary


def test_summary_counts_operations():
    """A 1x1 classifier for 21 classes on 1024 channels of 40 x 40 cells: 2 * 21 * 1024 * 1600."""
    base = {"backbone": "vgg16", "output_stride": 8}
    with_head = summary.describe("segmentation", base | {"architecture": "largefov"})
    assert with_head["parameters (M)"] == pytest.approx((20_483_904 + 21_525) / 1e6, abs=0.005)
    assert with_head["levels"] == "512 x 40, 512 x 40, 1024 x 40"
    layers = [  # (input, output, window, cells a side)
        *[(3, 64, 9, 320), (64, 64, 9, 320), (64, 128, 9, 160), (128, 128, 9, 160)],
        *[(128, 256, 9, 80), (256, 256, 9, 80), (256, 256, 9, 80), (256, 512, 9, 40)],
        *[(512, 512, 9, 40)] * 5,
        *[(512, 1024, 9, 40), (1024, 1024, 1, 40), (1024, 21, 1, 40)],
    ]
    total = sum(2 * a * b * window * side**2 for a, b, window, side in layers)
    assert with_head["GFLOPs at 320 px"] == pytest.approx(total / 1e9, abs=0.05)
