"""The command `psa`. Each sub-command is a module of this package, imported when it is called."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence

COMMANDS = {"export": "write a folder of masks for other tools: COCO, YOLO, LabelMe, CVAT, VOC"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command; its exit status, 1 after an error that the message explains.

    arguments: the words after `psa`, by default those of the process.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="psa", description="Masks from image-level labels.")
    commands = parser.add_subparsers(dest="command", required=True)
    modules = {}
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if words[:1] == [name]:
            modules[name] = importlib.import_module(f"psa_core.delivery.{name.replace('-', '_')}")
            modules[name].add_arguments(command)
    options = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return modules[options.command].run(options)
    except (ValueError, OSError) as error:
        print(f"psa {options.command}: {error}", file=sys.stderr)
        return 1
