"""The configuration, checked and completed with defaults before anything runs."""

from __future__ import annotations

import copy
import difflib
import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from psa_core.errors import UserError
from psa_core.runtime.config_checks import conflicts, misfits
from psa_core.runtime.stages import STAGES

if TYPE_CHECKING:
    from psa_core.datasets.inventory import Inventory


class ConfigError(UserError):
    """The configuration is not usable; the message names each key, its value and the remedy."""


def complete(config: dict, schema: dict) -> dict:
    """A copy of the configuration with all defaults, checked against the schema.

    Raises ConfigError for unknown keys, wrong types and values out of range, all together; if there
    are none of these, for values that contradict each other.
    """
    filled = _fill(copy.deepcopy(config), schema, schema)
    problems = [_explain(error) for error in Draft202012Validator(schema).iter_errors(filled)]
    problems += _not_finite(filled)
    _raise(sorted(problems) or list(conflicts(filled, schema)))
    return filled


# Keys of earlier versions, and what replaces them.
RENAMED = {
    "labels": "now pseudo_labels; move the values there",
    "affinity.labels": "now affinity_labels; move the values there",
    "affinity.true_masks": "now affinity_labels.true_masks; move the value there",
    "walk.log2_t": "now walk.t, the number of steps itself; 8 is now 256",
    "sweeps.walk.log2_t": "now sweeps.walk.t, the numbers of steps themselves; 8 is now 256",
    "dataset.scenes": "removed; the scenes are in examples/scenes, dataset.limit takes fewer",
}


def cached_side(config: dict) -> int | None:
    """The largest `longest_side` of the trainings, in pixels; None if one does not resize."""
    sides = [config[stage]["training"]["longest_side"] for stage in STAGES]
    return max(high for _, high in sides) if all(sides) else None


def check_data(config: dict, data: Inventory) -> None:
    """Check the configuration against the data set.

    Raises ConfigError for everything that does not fit, with key, value and remedy.
    """
    _raise(list(misfits(config, data)))


def describe(schema: dict) -> str:
    """The keys of a schema as a Markdown table: key, default, description."""
    lines = ["| key | default | what it is |", "|---|---|---|"]
    # All keys have defaults except dataset.format and dataset.root.
    defaults = complete({"dataset": {"format": "folder", "root": "."}}, schema)
    defaults["dataset"] |= {"format": None, "root": None}
    for path, key in _leaves(schema, schema):
        default = json.dumps(_lookup(defaults, path))
        choices = f" One of {', '.join(map(str, key['enum']))}." if "enum" in key else ""
        lines.append(f"| `{path}` | `{default}` | {key['description'].strip()}{choices} |")
    return "\n".join(lines) + "\n"


def _raise(problems: list[str]) -> None:
    if problems:
        raise ConfigError(
            "the configuration is not usable:\n" + "\n".join(f"  - {p}" for p in problems)
        )


def _leaves(schema: dict, root: dict, path: str = "") -> Iterator[tuple[str, dict]]:
    """(dotted key, schema) of each key that is not a section."""
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
    """The properties of an object, including those of the definition that it refers to."""
    return {**_referred(schema, root).get("properties", {}), **schema.get("properties", {})}


def _default(schema: dict, root: dict) -> tuple[bool, object]:
    merged = {**_referred(schema, root), **schema}
    return "default" in merged, copy.deepcopy(merged.get("default"))


def _fill(value: Any, schema: dict, root: dict) -> Any:
    """Add the defaults of missing keys; an object's own default wins over its properties'."""
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
    """The default, with the given values in place of its own, section by section."""
    merged = {**default, **value}
    for key in default.keys() & value.keys():
        if isinstance(default[key], dict) and isinstance(value[key], dict):
            merged[key] = _merge(default[key], value[key])
    return merged


def _parse(value: object, schema: dict) -> object:
    """Convert a string to the number, boolean or null that it spells, unless a string is wanted.

    Snakemake's --config leaves all values inside braces as strings, and YAML reads 1e-3 as one.
    """
    if isinstance(value, list):
        return [_parse(item, schema.get("items", {})) for item in value]
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if isinstance(value, float) and value.is_integer() and "integer" in types:
        return int(value)
    if value == "null" and "null" in types:
        return None
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


def _not_finite(value: object, path: str = "") -> Iterator[str]:
    """NaN and infinities, which pass as numbers and within any range that NaN is compared with."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _not_finite(each, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for i, each in enumerate(value):
            yield from _not_finite(each, f"{path}.{i}")
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{path}: {value} is not a number to compute with; write a finite one"


def _explain(error: ValidationError) -> str:
    """One line for a validation error: key, value, and what is allowed."""
    key = ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = [name for name in error.instance if name not in known]
        lines = []
        for name in unknown:
            path = f"{key + '.' if key else ''}{name}"
            if path in RENAMED:
                lines.append(f"{path}: {RENAMED[path]}")
                continue
            close = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(known)}"
            lines.append(f"{path}: unknown key; {hint}")
        return "; ".join(lines)
    remedy = error.schema.get("description", "")
    return f"{key or 'config'}: {error.message}" + (f" ({remedy})" if remedy else "")
