"""The configuration: schema, defaults, errors that say what to do."""

import functools
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from psa_core.runtime.config import (
    RENAMED,
    ConfigError,
    check_data,
    complete,
    describe,
)
from psa_core.runtime.stages import file_of_weights

CONFIG = Path(__file__).parents[1] / "config"
SCHEMA = yaml.safe_load((CONFIG / "schema.yaml").read_text())
FOLDER = {"dataset": {"format": "folder", "root": "somewhere"}}


def test_the_documentation_has_each_key_as_the_schema_says():
    table = describe(SCHEMA)
    assert "| `walk.beta` | `10` | Hadamard power of the affinities (eq. 11; paper 8). |" in table
    assert table in (CONFIG / "README.md").read_text()


def test_each_value_of_a_complete_configuration_is_in_the_table():
    def paths(section: dict, path: str = ""):
        for key, value in section.items():
            yield from paths(value, f"{path}{key}.") if isinstance(value, dict) else [path + key]

    listed = [line.split("`")[1] for line in describe(SCHEMA).splitlines()[2:]]
    assert sorted(paths(complete(FOLDER, SCHEMA))) == sorted(listed)


PRESETS = {
    "config.yaml": "tf_efficientnet_lite0",
    "voc_animals.yaml": "tf_efficientnet_lite0",
    "voc12_resnet38.yaml": "resnet38",
    "voc12_release.yaml": "resnet38",
    "voc12_vgg16.yaml": "vgg16",
    "voc12_resnet50.yaml": "resnet50",
    "voc12_dinov2.yaml": "vit_small_patch14_reg4_dinov2",
}


@pytest.mark.parametrize(("preset", "backbone"), PRESETS.items())
def test_presets_are_valid(preset, backbone):
    config = yaml.safe_load((CONFIG / preset).read_text())
    config["dataset"].setdefault("root", "somewhere")
    config = complete(config, SCHEMA)
    stages = ("cam", "affinity", "segmentation")
    assert {config[stage]["network"]["backbone"] for stage in stages} == {backbone}
    assert f"`{preset}`" in (CONFIG / "README.md").read_text()


def test_each_preset_is_tested():
    found = {path.name for path in CONFIG.glob("*.yaml")} - {"schema.yaml"}
    found -= {"download.yaml", "coco.yaml"}  # of the workflows that fetch and convert data sets
    assert found == PRESETS.keys()


def test_a_value_given_wins_over_the_sections_default_and_that_over_the_keys():
    config = complete({**FOLDER, "cam": {"training": {"epochs": 9}}}, SCHEMA)
    assert config["cam"]["training"]["epochs"] == 9
    assert config["cam"]["training"]["crop_size"] == 288  # the section's default
    assert config["cam"]["training"]["batch_size"] == 16  # the key's default
    assert config["cam"]["training"]["optimizer"]["new_layer_factor"] == 10


def test_a_sections_default_reaches_the_keys_beside_those_given():
    change = {"segmentation": {"training": {"optimizer": {"learning_rate": 0.1}}}}
    optimizer = complete({**FOLDER, **change}, SCHEMA)["segmentation"]["training"]["optimizer"]
    assert optimizer["learning_rate"] == 0.1
    assert optimizer["new_layer_factor"] == 2  # of the section segmentation.training
    assert optimizer["momentum"] == 0.9  # of the key


def test_strings_are_converted_to_the_values_that_they_spell():
    """Snakemake's --config gives strings, and YAML reads 1e-3 as one."""
    config = complete(
        {
            **FOLDER,
            "walk": {"beta": "4", "tolerance": "1e-3"},
            "cam": {"inference": {"scales": ["0.5", "1"], "flip": "false", "output_stride": "8"}},
            "pseudo_labels": {"confidence": "null"},
            "dataset": {
                "format": "folder",
                "root": "1",
                "limit": "3",
                "labels": "1",
                "val": "null",
            },
            "devices": 1.0,
        },
        SCHEMA,
    )
    assert config["walk"]["beta"] == 4
    assert config["dataset"]["val"] is None
    assert (config["devices"], type(config["devices"])) == (1, int)
    assert config["walk"]["tolerance"] == 0.001
    assert config["cam"]["inference"]["scales"] == [0.5, 1]
    assert config["cam"]["inference"]["flip"] is False
    assert config["cam"]["inference"]["output_stride"] == 8
    assert config["pseudo_labels"]["confidence"] is None
    assert config["dataset"]["limit"] == 3
    assert config["dataset"]["labels"] == "1"  # a string is wanted here


def test_weights_that_the_same_run_may_make_again_are_refused():
    network = {"network": {"weights": "results/cam/network.safetensors"}}
    message = r"affinity.network.weights: results/cam/network.safetensors is a result"
    with pytest.raises(ConfigError, match=message):
        complete({**FOLDER, "affinity": network}, SCHEMA)


def test_the_input_is_not_changed():
    given = {"dataset": {"format": "folder", "root": "somewhere"}}
    complete(given, SCHEMA)
    assert given == FOLDER


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
        (
            {"affinity_labels": {"alpha_low": 19, "alpha_high": 16}},
            r"alpha_low 19 is above alpha_high 16; the lower one",
        ),
        ({"affinity_labels": {"alpha_low": 4}}, r"alpha_low 4 and alpha_high auto; set both"),
        ({"walk": {"alpha": "otsu"}}, r"walk.alpha: 'otsu' is not valid .* \(A number of"),
        (
            {"segmentation": {"train": False, "upper_bound": True, "network": {"weights": "x.pt"}}},
            r"segmentation.upper_bound: true, but segmentation.train is false",
        ),
        ({"cam": {"training": {"longest_side": [300, 200]}}}, r"\[300, 200\] is not a range"),
        ({"cam": {"training": {"crop_size": 100}}}, r"cam.training.crop_size: 100"),
        ({"dataset": {"format": "voc"}}, r"dataset.root: missing; set it to the folder"),
        ({"dataset": {"root": "a"}}, r"dataset: 'format' is a required property"),
        ({"dataset": {"format": "scenes"}}, r"dataset.format: 'scenes' is not one of"),
        (
            {"dataset": {"format": "folder", "root": "a", "test": "b"}},
            r"dataset.test: 'b', but dataset.format is folder",
        ),
        (
            {"dataset": {"format": "folder", "root": "a", "others": "ignore"}},
            r"dataset.others: 'ignore', but dataset.format is folder, and only VOC has .*; remove",
        ),
        (
            {"dataset": {"format": "voc", "root": "a", "val_fraction": 0.1, "seed": 3}},
            r"(?s)dataset.val_fraction: 0.1, but dataset.format is voc.*dataset.seed: 3, but",
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
            r"segmentation.network.architecture: 'unet' needs a backbone of timm, not vgg16; set",
        ),
        (
            {"segmentation": {"network": {"output_stride": 8, "architecture": "unet"}}},
            r"segmentation.network.output_stride: 8, but unet sets its own strides; set it to 32",
        ),
        (
            {"segmentation": {"train": False}},
            r"segmentation.train: false, but segmentation.network.weights is 'imagenet'; set",
        ),
    ],
)
def test_errors_name_key_value_and_remedy(change, message):
    with pytest.raises(ConfigError, match=message):
        complete({**FOLDER, **change}, SCHEMA)


def test_all_problems_are_reported_together():
    with pytest.raises(ConfigError, match=r"(?s)walk.beta.*walk.t"):
        complete({**FOLDER, "walk": {"beta": 0, "t": 0}}, SCHEMA)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"confidence": 0.5}}, "labels: now pseudo_labels; move the values there"),
        ({"affinity": {"labels": {}}}, "affinity.labels: now affinity_labels; move"),
        (
            {"affinity": {"true_masks": ["cat"]}},
            "affinity.true_masks: now affinity_labels.true_masks; move",
        ),
        (
            {"dataset": {"format": "folder", "scenes": {"train": 8}}},
            "dataset.scenes: removed; the scenes are in examples/scenes",
        ),
    ],
)
def test_keys_of_earlier_versions_say_where_their_values_are_now(change, message):
    with pytest.raises(ConfigError) as error:
        complete({**FOLDER, **change}, SCHEMA)
    assert message in str(error.value)


def test_keys_that_replace_others_exist():
    config = complete(FOLDER, SCHEMA)
    for old, new in RENAMED.items():
        *sections, key = old.split(".")
        assert key not in functools.reduce(dict.__getitem__, sections, config)
        if match := re.match(r"now ([\w.]+)[;,]", new):
            functools.reduce(dict.__getitem__, match[1].split("."), config)


# --- with the data set ----------------------------------------------------------------------------


def data(train_aug=32, masks=32, rejected=0):
    """An inventory with so many training images; cats and dogs.

    masks, rejected: how many of the first images have a mask, and a rejected label.
    """
    images = [f"t{i:02}" for i in range(train_aug)]
    return SimpleNamespace(
        images={"train_aug": images},
        scored={"train_aug": images[:masks]},
        negatives=set(),
        classes=("cat", "dog"),
        rejected=images[:rejected],
    )


def configuration(**changes):
    return complete({**FOLDER, **changes}, SCHEMA)


STAGES = ("cam", "affinity", "segmentation")
SIXTEEN = {stage: {"training": {"batch_size": 16}} for stage in STAGES}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (SIXTEEN, {"train_aug": 3}),
        ({**SIXTEEN, "devices": 4}, {}),
        ({"segmentation": {"upper_bound": True}}, {"masks": 1}),
        ({"affinity_labels": {"true_masks": ["dog"]}}, {"masks": 1}),
        ({}, {"masks": 0}),
        ({}, {"rejected": 31}),
    ],
)
def test_data_that_fit(changes, found):
    check_data(configuration(**changes), data(**found))


@pytest.mark.parametrize(
    ("changes", "found", "message"),
    [
        (
            {**SIXTEEN, "devices": 3},
            {},
            r"devices: 3 cannot share affinity.training.batch_size, 16, equally; set batch_size",
        ),
        (
            {"affinity_labels": {"true_masks": ["cow", "cat"]}},
            {},
            r"affinity_labels.true_masks: \['cow'\] are not classes; choose from cat, dog",
        ),
        (
            {"affinity_labels": {"true_masks": ["cat"]}},
            {"masks": 0},
            r"affinity_labels.true_masks: no training image has a mask; .* set it to \[\]",
        ),
        (
            {"segmentation": {"upper_bound": True}},
            {"masks": 0},
            r"segmentation.upper_bound: true, but no training image has a mask; add masks",
        ),
        (
            {"dataset": {**FOLDER["dataset"], "decisions": "mine.csv"}},
            {"rejected": 32},
            r"dataset.decisions: mine.csv rejects the labels of all .*; accept some",
        ),
        ({"cam": {"maps": "nowhere"}}, {}, r"cam.maps: 'nowhere' is not a folder \(seen from /"),
    ],
)
def test_data_that_do_not_fit_are_named_with_a_remedy(changes, found, message):
    with pytest.raises(ConfigError, match=message):
        check_data(configuration(**changes), data(**found))


def test_a_stage_that_is_not_trained_needs_no_batch():
    network = {"train": False, "network": {"weights": "trained.pt"}}
    batch = {"training": {"batch_size": 99}}
    changes = {**SIXTEEN, "devices": 4, "segmentation": {**network, **batch}}
    check_data(configuration(**changes), data(16))


def test_maps_of_another_method_must_be_there(tmp_path):
    images = data().images["train_aug"]
    for image in images:
        (tmp_path / f"{image}.npy").touch()
    changes = {**SIXTEEN, "cam": {"maps": str(tmp_path), "training": {"batch_size": 99}}}
    check_data(configuration(**changes), data())
    for image in images[2:4]:
        (tmp_path / f"{image}.npy").unlink()
    with pytest.raises(
        ConfigError, match=r"lacks the class maps of 2 .* the first is t02\.npy; add"
    ):
        check_data(configuration(**changes), data())


def test_all_that_does_not_fit_is_reported_together():
    changes = {"cam": {"maps": "nowhere"}, "affinity_labels": {"true_masks": ["cow"]}}
    parts = ["devices: 3"]
    parts += [
        "['cow'] are not classes",
        "no training image has a mask",
        "'nowhere' is not a folder",
    ]
    with pytest.raises(ConfigError) as error:
        check_data(configuration(**changes, devices=3), data(2, masks=0))
    assert all(part in str(error.value) for part in parts)
    assert str(error.value).count("\n  - ") == 5  # devices share the batch of two trainings


def test_weights_are_a_file_or_none():
    weights = [{"network": {"weights": name}} for name in ("imagenet", "random", "a/random.pt")]
    assert [file_of_weights(section) for section in weights] == [None, None, "a/random.pt"]


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "'nan'", "'inf'"])
def test_numbers_that_are_not_finite_are_refused(value):
    text = f"{{dataset: {{format: folder, root: x}}, walk: {{alpha: {value}}}}}"
    with pytest.raises(ConfigError, match=r"walk\.alpha: (nan|-?inf)"):
        complete(yaml.safe_load(text), SCHEMA)


def test_each_number_that_is_not_finite_is_named():
    text = "dataset: {format: folder, root: x, val_fraction: .nan}\n"
    text += "cam: {inference: {scales: [1, .nan]}}"
    with pytest.raises(ConfigError) as error:
        complete(yaml.safe_load(text), SCHEMA)
    assert "dataset.val_fraction: nan is not a number" in str(error.value)
    assert "cam.inference.scales.1: nan is not a number" in str(error.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"", "the file is empty"),
        (None, "a folder, not a file"),
    ],
)
def test_weights_of_a_late_stage_are_refused_before_the_first(tmp_path, content, reason):
    path = tmp_path / "w.pth"
    path.mkdir() if content is None else path.write_bytes(content)
    config = configuration(segmentation={"network": {"weights": str(path)}})
    message = rf"segmentation\.network\.weights: .*w\.pth holds no weights \({reason}"
    with pytest.raises(ConfigError, match=message):
        check_data(config, data())
