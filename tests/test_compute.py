"""The choice of the device."""

import pytest
import torch

from psa_core.runtime import compute


@pytest.fixture(autouse=True)
def one_thread():
    yield
    torch.set_num_threads(1)


def test_device_is_a_gpu_where_there_is_one(monkeypatch):
    for has_gpu, expected in [(False, "cpu"), (True, "cuda")]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda has_gpu=has_gpu: has_gpu)
        assert compute.open_device("auto", 1) == torch.device(expected)
        assert compute.open_device("cpu", 1) == torch.device("cpu")


def test_missing_gpu_is_reported_before_the_work_starts(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"device is 'cuda:1' but torch sees no GPU; .*auto"):
        compute.open_device("cuda:1", 1)


def test_torch_takes_the_threads_that_it_is_given():
    compute.open_device("cpu", 2)
    assert torch.get_num_threads() == 2


def test_networks_on_a_cpu_keep_their_precision():
    layer = torch.nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, 2.0**-12]])
    with torch.inference_mode(), compute.half_precision(torch.device("cpu")):
        assert layer(torch.tensor([[1.0, 1.0]])).item() == 1 + 2.0**-12  # no float16, 11 bits
