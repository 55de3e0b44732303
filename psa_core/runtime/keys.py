"""Keys that are twice in a configuration file."""

from pathlib import Path

import yaml

from psa_core.runtime.config import ConfigError


def check_keys(path: str | Path) -> None:
    """Raises ConfigError for a key that is twice in a YAML file, whose parser takes the second."""
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {error}: correct the YAML") from error
    problems, seen = [], set()
    waiting = [root] if root else []
    while waiting:
        node = waiting.pop(0)
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.value in lines and key.value != "<<":
                    problems.append(
                        f"{path}: the key {key.value} is in line {lines[key.value]} and again in "
                        f"line {line}: join them"
                    )
                lines.setdefault(key.value, line)
                waiting.append(value)
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
    if problems:
        raise ConfigError("\n".join(problems))
