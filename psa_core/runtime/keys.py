"""Keys that are twice in a configuration file."""

from pathlib import Path

import yaml

from psa_core.runtime.config import ConfigError


def check_keys(path: str | Path) -> None:
    """Raises ConfigError for a key that is twice in a YAML file, whose parser takes the second."""
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: {error}: save the file as UTF-8") from error
    except (yaml.YAMLError, RecursionError) as error:
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
                line, name = key.start_mark.line + 1, str(key.value)
                if name in lines and name != "<<":
                    problems.append(
                        f"{path}: the key {name} is in line {lines[name]} and again in line "
                        f"{line}: join them"
                    )
                lines.setdefault(name, line)
                waiting.append(value)
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
    if problems:
        raise ConfigError("\n".join(problems))
