"""The trial pass: networks that cannot take their batches are known before any training."""

import pytest
import torch
import yaml
from seeds import ROOT
from small_data import write_folder
from workflow_runs import run

from psa_core.errors import UserError
from psa_core.networks.trial import check_networks
from psa_core.runtime.config import complete

SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
CAIT = {"network": {"backbone": "cait_xxs24_224", "output_stride": 32}}  # images of 224 x 224 alone


def configuration(**sections):
    return complete({"dataset": {"format": "folder", "root": "."}, **sections}, SCHEMA)


def message(config, *, images=100):
    with pytest.raises(UserError) as raised:
        check_networks(config, images=images)
    return str(raised.value)


def test_the_defaults_pass_and_nothing_is_drawn():
    state = torch.get_rng_state()
    check_networks(configuration(), images=100)
    assert torch.equal(torch.get_rng_state(), state)


def test_all_networks_that_fail_are_named_together():
    text = message(
        configuration(cam=CAIT, affinity={"network": {"backbone": "resnet5O", "output_stride": 32}})
    )
    assert "cam.network.backbone: cait_xxs24_224 cannot take 16 images of 288 x 288" in text
    assert "affinity.network: timm has no backbone 'resnet5O'; did you mean" in text
    assert "segmentation" not in text


def test_one_crop_size_is_not_enough():
    """The class maps are of whole images, whatever the crops were."""
    network = {"backbone": "maxvit_pico_rw_256", "output_stride": 32}
    text = message(configuration(cam={"network": network, "training": {"crop_size": 256}}))
    assert "256 x 256 pixels, and then one of other sides (height (12) must be divis" in text


def test_tokens_are_no_maps():
    text = message(configuration(cam={**CAIT, "training": {"crop_size": 224}}))
    assert "cam.network.backbone: cait_xxs24_224 cannot take 16 images of 224 x 224" in text


def test_a_norm_needs_two_values_per_channel():
    training = {"batch_size": 8, "crop_size": 32}  # one cell at stride 32
    config = configuration(cam={"training": training})
    check_networks(config, images=2)
    text = message(config, images=1)
    assert "cannot take 1 images of 32 x 32" in text
    assert "Expected more than 1 value per channel" in text
    both = configuration(cam={"training": training}, devices=8)
    assert "cannot take 1 images of 32 x 32" in message(both)


def test_only_networks_that_are_trained_are_tried():
    unused = {**CAIT, "maps": "maps"}
    config = configuration(cam=unused)
    check_networks(config, images=100)


def test_the_first_training_tries_the_last_network(tmp_path):
    config = {
        "dataset": {**write_folder(tmp_path), "shards": 1},
        "segmentation": {"network": {"architecture": "unetplus"}},
    }
    preset = tmp_path / "preset.yaml"
    preset.write_text(yaml.safe_dump(config))
    done = run(tmp_path, "--", "results/cam/network.safetensors", config=preset)
    assert done.returncode == 1
    assert done.stderr.count("segmentation.network: ") == 1
    assert "unetplus" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "results/.checkpoints").exists()
