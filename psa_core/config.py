"""The configuration: checked against its schema and filled with defaults, before anything runs."""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterator

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

NO_FILES = ("imagenet", "random")  # values of network.weights that name no file


class ConfigError(ValueError):
    """The configuration is not usable; the message names each key, its value and the remedy."""


def complete(config: dict, schema: dict) -> dict:
    """A copy of the configuration with all defaults, checked.

    Raises ConfigError for unknown keys, wrong types and values out of range, all together.
    """
    filled = _fill(copy.deepcopy(config), schema, schema)
    problems = [_explain(error) for error in Draft202012Validator(schema).iter_errors(filled)]
    problems = sorted(problems) or list(_conflicts(filled))
    if problems:
        raise ConfigError(
            "the configuration is not usable:\n" + "\n".join(f"  - {p}" for p in problems)
        )
    return filled


def describe(schema: dict) -> str:
    """The keys of a schema as a Markdown table: key, default, what it is."""
    lines = ["| key | default | what it is |", "|---|---|---|"]
    for path, key in _leaves(schema, schema):
        default = json.dumps(_lookup(complete({"dataset": {"format": "scenes"}}, schema), path))
        choices = f" One of {', '.join(map(str, key['enum']))}." if "enum" in key else ""
        lines.append(f"| `{path}` | `{default}` | {key['description'].strip()}{choices} |")
    return "\n".join(lines) + "\n"


def _leaves(schema: dict, root: dict, path: str = "") -> Iterator[tuple[str, dict]]:
    """(dotted key, schema) of each key that is no section."""
    properties = _properties(schema, root)
    if not properties:
        yield path, {**_referred(schema, root), **schema}
    for key, sub in properties.items():
        yield from _leaves(sub, root, f"{path}.{key}" if path else key)


def _lookup(config: dict, path: str) -> object:
    for key in path.split("."):
        config = config[key]
    return config


def _referred(schema: dict, root: dict) -> dict:
    return root["$defs"][schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else {}


def _properties(schema: dict, root: dict) -> dict:
    """The properties of an object, those that it refers to in $defs included."""
    return {**_referred(schema, root).get("properties", {}), **schema.get("properties", {})}


def _default(schema: dict, root: dict) -> tuple[bool, object]:
    merged = {**_referred(schema, root), **schema}
    return "default" in merged, copy.deepcopy(merged.get("default"))


def _fill(value: object, schema: dict, root: dict) -> object:
    """Put defaults where keys are missing; an object's own default comes before its properties'."""
    if not isinstance(value, dict):
        return _parse(value, {**_referred(schema, root), **schema})
    has_default, default = _default(schema, root)
    if has_default and isinstance(default, dict):
        value = _merge(default, value)
    for key, sub in _properties(schema, root).items():
        has_default, default = _default(sub, root)
        if key not in value and has_default:
            value[key] = default
        if key in value:
            value[key] = _fill(value[key], sub, root)
    return value


def _merge(default: dict, value: dict) -> dict:
    """The default with the values given, section by section."""
    merged = {**default, **value}
    for key in default.keys() & value.keys():
        if isinstance(default[key], dict) and isinstance(value[key], dict):
            merged[key] = _merge(default[key], value[key])
    return merged


def _parse(value: object, schema: dict) -> object:
    """Take a text for the number or truth value that it spells, where no text is wanted.

    Snakemake's --config leaves all values inside braces as texts, and YAML does so with 1e-3.
    """
    if isinstance(value, list):
        return [_parse(item, schema.get("items", {})) for item in value]
    types = schema.get("type", [])
    is_text_wanted = "string" in types or any(isinstance(c, str) for c in schema.get("enum", []))
    if not isinstance(value, str) or is_text_wanted:
        return value
    words = {"true": True, "false": False, "null": None}
    for parse in (int, float, lambda text: words[text.lower()]):
        try:
            return parse(value)
        except (ValueError, KeyError):
            continue
    return value


def _explain(error: ValidationError) -> str:
    """One line for a validation error: key, value, what is allowed."""
    key = ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = [name for name in error.instance if name not in known]
        lines = []
        for name in unknown:
            close = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(known)}"
            lines.append(f"{key + '.' if key else ''}{name}: unknown key; {hint}")
        return "; ".join(lines)
    remedy = error.schema.get("description", "")
    return f"{key or 'config'}: {error.message}" + (f" ({remedy})" if remedy else "")


def _network_conflicts(stage: str, section: dict) -> Iterator[str]:
    network = section["network"]
    key, backbone = f"{stage}.network", network["backbone"]
    if not section["train"] and network["weights"] in NO_FILES:
        yield (
            f"{stage}.train: false, but {key}.weights is {network['weights']!r}; set it to the "
            "file of a trained network"
        )
    if backbone == "resnet38" and network["weights"] == "imagenet":
        yield (
            f"{key}.weights: ImageNet weights of resnet38 cannot be downloaded; set it to the file "
            "ilsvrc-cls_rna-a1_cls1000_ep-0001.params of Wu et al., or to random"
        )
    architecture = network.get("architecture", "atrous")
    is_of_library = architecture not in ("atrous", "largefov")
    if is_of_library and network["output_stride"] != 32:
        yield (
            f"{key}.output_stride: {network['output_stride']}, but {architecture} has strides of "
            "its own; set it to 32"
        )
    if backbone not in ("resnet38", "vgg16"):
        return
    if is_of_library:
        yield (
            f"{key}.architecture: {architecture!r} takes backbones of timm, not "
            f"{backbone}; set it to atrous or largefov"
        )
    strides = {f"{key}.output_stride": network["output_stride"]}
    if stage == "cam":
        strides["cam.inference.output_stride"] = section["inference"]["output_stride"]
    for name, stride in strides.items():
        if stride != 8:
            yield f"{name}: {stride}, but {backbone} has output stride 8; set it to 8"


def _conflicts(config: dict) -> Iterator[str]:
    """What single keys cannot show: values that contradict one another."""
    labels = config["affinity"]["labels"]
    if labels["alpha_low"] > labels["alpha_high"]:
        yield (
            f"affinity.labels: alpha_low {labels['alpha_low']} is above alpha_high "
            f"{labels['alpha_high']}; the low one amplifies the background, so it must be smaller"
        )
    for stage in ("cam", "affinity", "segmentation"):
        yield from _network_conflicts(stage, config[stage])
        low, high = config[stage]["training"]["longest_side"] or (0, 0)
        if low > high:
            key = f"{stage}.training.longest_side"
            yield f"{key}: [{low}, {high}] is no range; put the smaller first"
    if config["segmentation"]["upper_bound"] and not config["segmentation"]["train"]:
        yield (
            "segmentation.upper_bound: true, but segmentation.train is false; the network trained "
            "on true masks would start from the one it is compared with; set one of them otherwise"
        )
    dataset = config["dataset"]
    if dataset["format"] == "scenes" and dataset["root"]:
        yield (
            f"dataset.root: {dataset['root']!r} is given, but dataset.format is scenes, the "
            "built-in data; set dataset.format to voc or folder"
        )
    if dataset["test"] and dataset["format"] != "voc":
        yield (
            f"dataset.test: {dataset['test']!r} is given, but dataset.format is "
            f"{dataset['format']}; predictions for a test set are in VOC's layout: remove the key"
        )
    if dataset["format"] != "scenes" and not dataset["root"]:
        yield (
            f"dataset.root: missing, format {dataset['format']} needs the folder of the data set; "
            "set it in the config file or say --config dataset='{root: FOLDER}'"
        )
