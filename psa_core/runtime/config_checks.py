"""What a configuration cannot mean, and what does not fit the data: one line for each problem."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from psa_core.datasets.formats.segments import SUFFIXES
from psa_core.networks import registry
from psa_core.runtime.files import content_of, refusal
from psa_core.runtime.stages import NO_FILES, STAGES, file_of_weights, trained_stages

if TYPE_CHECKING:
    from psa_core.datasets.inventory import Inventory

# Keys of `dataset` that one format reads and the others would ignore: that format, and why.
OF_ONE_FORMAT = {
    "test": ("voc", "only VOC has a test server"),
    "others": ("voc", "only VOC has classes that are not selected"),
    "mask_values": ("folder", "VOC's masks have values of their own"),
    "val_fraction": ("folder", "VOC has a list of validation images"),
    "seed": ("folder", "VOC has a list of validation images"),
}


def misfits(config: dict, data: Inventory) -> Iterator[str]:
    """What is wrong with a complete configuration for this data set."""
    for stage in trained_stages(config):
        batch_size = config[stage]["training"]["batch_size"]
        if batch_size % config["devices"]:
            yield (
                f"devices: {config['devices']} cannot share {stage}.training.batch_size, "
                f"{batch_size}, equally; set batch_size to a multiple of devices"
            )
    yield from _unusable_weights(config)
    true_masks = config["affinity_labels"]["true_masks"]
    if unknown := sorted(set(true_masks) - set(data.classes)):
        yield (
            f"affinity_labels.true_masks: {unknown} are not classes; choose from "
            f"{', '.join(data.classes)}"
        )
    if true_masks and not data.scored["train_aug"]:
        yield "affinity_labels.true_masks: no training image has a mask; add masks or set it to []"
    if config["segmentation"]["upper_bound"] and not data.scored["train_aug"]:
        yield (
            "segmentation.upper_bound: true, but no training image has a mask; add masks or set it "
            "to false"
        )
    if data.rejected == data.images["train_aug"]:
        yield (
            f"dataset.decisions: {config['dataset']['decisions']} rejects the labels of all "
            "training images, so the segmentation model has none to learn from; accept some"
        )
    shown = [image for image in data.images["train_aug"] if image not in data.negatives]
    if folder := config["cam"]["maps"]:
        yield from _missing("cam.maps", "class maps", folder, shown, (".npy",))
    if folder := config["pseudo_labels"]["segments"]:
        yield from _missing("pseudo_labels.segments", "segments", folder, shown, SUFFIXES)


def _unusable_weights(config: dict) -> Iterator[str]:
    """Files of weights that are plainly none; the stages open the others."""
    for stage in STAGES:
        file = file_of_weights(config[stage])
        if not file or not os.path.lexists(file):  # Snakemake says which input is missing
            continue
        reason = refusal(file)
        if not reason:
            with open(file, "rb") as content:
                reason = content_of(content.read(64))
        if reason:
            yield f"{stage}.network.weights: {file} holds no weights ({reason}); replace it"


def _missing(
    key: str, what: str, folder: str, images: list[str], suffixes: Sequence[str]
) -> Iterator[str]:
    """A folder of the user without a file for each of these images."""
    if not Path(folder).is_dir():
        yield (
            f"{key}: {folder!r} is not a folder (seen from {Path.cwd()}); set it to the folder "
            f"with the {what}"
        )
        return
    present = set(os.listdir(folder))
    missing = [i for i in images if not any(i + suffix in present for suffix in suffixes)]
    if missing:
        yield (
            f"{key}: {folder} lacks the {what} of {len(missing)} training images, the first is "
            f"{missing[0]}{suffixes[0]}; add them, or take these images out of the lists"
        )


def _network_conflicts(stage: str, section: dict) -> Iterator[str]:
    """Settings of a stage's network that contradict one another or that its backbone cannot have.

    section: that of the stage in the configuration.
    """
    network, key = section["network"], f"{stage}.network"
    if not section["train"] and network["weights"] in NO_FILES:
        yield (
            f"{stage}.train: false, but {key}.weights is {network['weights']!r}; set it to the "
            "file of a trained network"
        )
    yield from (f"{key}.{problem}" for problem in registry.conflicts(network))
    if stage == "cam":
        stride = section["inference"]["output_stride"]
        problems = registry.stride_conflicts(network["backbone"], stride)
        yield from (f"cam.inference.{problem}" for problem in problems)


def conflicts(config: dict, schema: dict) -> Iterator[str]:
    """Values that contradict each other, which a schema of single keys cannot find.

    config: complete. schema: that of the whole configuration.
    """
    labels = config["affinity_labels"]
    low, high = labels["alpha_low"], labels["alpha_high"]
    if (low == "auto") != (high == "auto"):
        yield (
            f"affinity_labels: alpha_low {low} and alpha_high {high}; set both to numbers, or both "
            "to auto"
        )
    elif low != "auto" and low > high:
        yield (
            f"affinity_labels: alpha_low {low} is above alpha_high {high}; the lower one "
            "amplifies the background, so swap them"
        )
    for stage in STAGES:
        yield from _network_conflicts(stage, config[stage])
        low, high = config[stage]["training"]["longest_side"] or (0, 0)
        if low > high:
            key = f"{stage}.training.longest_side"
            yield f"{key}: [{low}, {high}] is not a range; put the smaller value first"
    if config["segmentation"]["upper_bound"] and not config["segmentation"]["train"]:
        yield (
            "segmentation.upper_bound: true, but segmentation.train is false, so the network that "
            "learns from true masks would start with the weights it is compared with; set "
            "upper_bound to false or train to true"
        )
    for stage in STAGES:
        file = file_of_weights(config[stage])
        if file and Path(file).parts[:1] == ("results",):
            yield (
                f"{stage}.network.weights: {file} is a result, which the workflow may make again "
                "in the same run; copy it to another folder"
            )
    dataset = config["dataset"]
    defaults = schema["properties"]["dataset"]["properties"]
    for key, (name, reason) in OF_ONE_FORMAT.items():
        if dataset["format"] != name and dataset[key] != defaults[key]["default"]:
            yield (
                f"dataset.{key}: {dataset[key]!r}, but dataset.format is {dataset['format']}, and "
                f"{reason}; remove the key"
            )
    if (values := dataset["value_range"]) and values[0] >= values[1]:
        yield (
            f"dataset.value_range: {values}; the value of black comes first and is below that of "
            "white"
        )
    if not dataset["root"]:
        yield (
            "dataset.root: missing; set it to the folder of the data set, in the config file or "
            "with --config dataset='{root: FOLDER}'"
        )
