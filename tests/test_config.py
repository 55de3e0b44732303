"""The configuration: schema, defaults, errors that say what to do."""

from pathlib import Path

import pytest
import yaml

from psa_core.config import ConfigError, complete, describe

CONFIG = Path(__file__).parents[1] / "config"
SCHEMA = yaml.safe_load((CONFIG / "schema.yaml").read_text())
SCENES = {"dataset": {"format": "scenes"}}


def test_the_documentation_has_each_key_as_the_schema_says():
    table = describe(SCHEMA)
    assert "| `walk.beta` | `8` | Hadamard power of the affinities (eq. 11; paper 8). |" in table
    assert table in (CONFIG / "README.md").read_text()


def test_each_value_of_a_complete_configuration_is_in_the_table():
    def paths(section: dict, path: str = ""):
        for key, value in section.items():
            yield from paths(value, f"{path}{key}.") if isinstance(value, dict) else [path + key]

    listed = [line.split("`")[1] for line in describe(SCHEMA).splitlines()[2:]]
    assert sorted(paths(complete(SCENES, SCHEMA))) == sorted(listed)


PRESETS = {
    "config.yaml": "tf_efficientnet_lite0",
    "voc_animals.yaml": "tf_efficientnet_lite0",
    "voc12_resnet38.yaml": "resnet38",
    "voc12_release.yaml": "resnet38",
    "voc12_vgg16.yaml": "vgg16",
    "voc12_resnet50.yaml": "resnet50",
}


@pytest.mark.parametrize(("preset", "backbone"), PRESETS.items())
def test_presets_are_valid(preset, backbone):
    config = yaml.safe_load((CONFIG / preset).read_text())
    if config["dataset"]["format"] != "scenes":
        config["dataset"]["root"] = "somewhere"
    config = complete(config, SCHEMA)
    stages = ("cam", "affinity", "segmentation")
    assert {config[stage]["network"]["backbone"] for stage in stages} == {backbone}
    assert f"`{preset}`" in (CONFIG / "README.md").read_text()


def test_each_preset_is_tested():
    found = {path.name for path in CONFIG.glob("*.yaml")} - {"schema.yaml"}
    found -= {"download.yaml", "coco.yaml"}  # of the workflows that fetch and convert data sets
    assert found == PRESETS.keys()


def test_a_value_given_wins_over_the_sections_default_and_that_over_the_keys():
    config = complete({**SCENES, "cam": {"training": {"epochs": 9}}}, SCHEMA)
    assert config["cam"]["training"]["epochs"] == 9
    assert config["cam"]["training"]["crop_size"] == 288  # the section's default
    assert config["cam"]["training"]["batch_size"] == 16  # the key's default
    assert config["cam"]["training"]["optimizer"]["new_layer_factor"] == 10


def test_a_sections_default_reaches_the_keys_beside_those_given():
    change = {"segmentation": {"training": {"optimizer": {"learning_rate": 0.1}}}}
    optimizer = complete({**SCENES, **change}, SCHEMA)["segmentation"]["training"]["optimizer"]
    assert optimizer["learning_rate"] == 0.1
    assert optimizer["new_layer_factor"] == 2  # of the section segmentation.training
    assert optimizer["momentum"] == 0.9  # of the key


def test_texts_are_taken_for_the_values_that_they_spell():
    """As Snakemake's --config gives them; YAML reads 1e-3 as a text, too."""
    config = complete(
        {
            **SCENES,
            "walk": {"beta": "4", "tolerance": "1e-3"},
            "cam": {"inference": {"scales": ["0.5", "1"], "flip": "false", "output_stride": "8"}},
            "labels": {"confidence": "null"},
            "dataset": {"format": "scenes", "classes": None, "labels": "1"},
        },
        SCHEMA,
    )
    assert config["walk"]["beta"] == 4
    assert config["walk"]["tolerance"] == 0.001
    assert config["cam"]["inference"]["scales"] == [0.5, 1]
    assert config["cam"]["inference"]["flip"] is False
    assert config["cam"]["inference"]["output_stride"] == 8
    assert config["labels"]["confidence"] is None
    assert config["dataset"]["labels"] == "1"  # a text is wanted here


def test_the_input_is_not_changed():
    given = {"dataset": {"format": "scenes"}}
    complete(given, SCHEMA)
    assert given == {"dataset": {"format": "scenes"}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"walks": {}}, r"walks: unknown key; did you mean 'walk'\?"),
        ({"walk": {"betta": 8}}, r"walk.betta: unknown key; did you mean 'beta'\?"),
        ({"walk": {"beta": -1}}, r"walk.beta: -1 is less than"),
        ({"walk": None}, r"walk: None is not of type 'object'"),
        (
            {"walk": {"tolerance": "small"}},
            r"walk.tolerance: 'small' is not of type 'number' \(Bound",
        ),
        ({"affinity": {"labels": {"alpha_low": 19}}}, r"alpha_low 19 is above alpha_high 16.0"),
        (
            {"segmentation": {"train": False, "upper_bound": True, "network": {"weights": "x.pt"}}},
            r"segmentation.upper_bound: true, but segmentation.train is false",
        ),
        ({"cam": {"training": {"longest_side": [300, 200]}}}, r"\[300, 200\] is no range"),
        ({"cam": {"training": {"crop_size": 100}}}, r"cam.training.crop_size: 100"),
        ({"dataset": {"format": "voc"}}, r"dataset.root: missing, format voc"),
        (
            {"dataset": {"format": "scenes", "root": "a"}},
            r"'a' is given, but dataset.format is scenes",
        ),
        (
            {"dataset": {"format": "folder", "root": "a", "test": "b"}},
            r"dataset.test: 'b' is given, but dataset.format is folder",
        ),
        ({"dataset": {"format": "cityscapes"}}, r"'cityscapes' is not one of"),
        (
            {"cam": {"network": {"backbone": "resnet38", "weights": "random"}}},
            r"(?s)cam.network.output_stride: 32, but resnet38 has output stride 8.*"
            r"cam.inference.output_stride: 16, but resnet38 has output stride 8; set it to 8",
        ),
        (
            {"affinity": {"network": {"backbone": "vgg16"}}},
            r"affinity.network.output_stride: 16, but vgg16 has output stride 8; set it to 8",
        ),
        (
            {"affinity": {"network": {"backbone": "resnet38", "output_stride": 8}}},
            r"affinity.network.weights: ImageNet weights of resnet38 cannot be downloaded; set",
        ),
        (
            {"segmentation": {"network": {"backbone": "vgg16", "architecture": "unet"}}},
            r"segmentation.network.architecture: 'unet' takes backbones of timm, not vgg16; set",
        ),
        (
            {"segmentation": {"network": {"output_stride": 8, "architecture": "unet"}}},
            r"segmentation.network.output_stride: 8, but unet has strides of its own; set it to 32",
        ),
        (
            {"segmentation": {"train": False}},
            r"segmentation.train: false, but segmentation.network.weights is 'imagenet'; set",
        ),
    ],
)
def test_errors_name_key_value_and_remedy(change, message):
    with pytest.raises(ConfigError, match=message):
        complete({**SCENES, **change}, SCHEMA)


def test_all_problems_are_reported_together():
    with pytest.raises(ConfigError, match=r"(?s)walk.beta.*walk.log2_t"):
        complete({**SCENES, "walk": {"beta": 0, "log2_t": 99}}, SCHEMA)
