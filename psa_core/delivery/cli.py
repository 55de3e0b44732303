"""The command `psa`: one module per sub-command, imported when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from psa_core import __version__
from psa_core.runtime.logs import not_in_a_bar

# Each is a module of this package, with add_arguments(parser) and run(options) -> exit status.
COMMANDS = {
    "export": "convert a folder of masks to the format of another tool, or to pictures",
    "predict": "segment images with a trained model",
    "classify": "tag images with a trained CAM network",
    "info": "print classes, settings and scores of a network file",
    "export-onnx": "export a network to ONNX, which runs without torch",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `psa` with these arguments (None: those of the process); returns the exit status.

    A problem that the user can fix gives one message and status 2.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] not in COMMANDS:
        _describe().parse_args(arguments)  # prints the help or an error, and exits
    name, *rest = arguments
    # As in the workflow: threads that wait for work should sleep.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        module = importlib.import_module(f"psa_core.delivery.{name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        print(f"psa {name}: {error}; install it: pip install {error.name}", file=sys.stderr)
        return 2
    purpose = COMMANDS[name][0].upper() + COMMANDS[name][1:]  # capitalize() would write "onnx"
    parser = argparse.ArgumentParser(f"psa {name}", description=f"{purpose}.")
    module.add_arguments(parser)
    options = parser.parse_intermixed_args(rest)  # files may stand before and after options
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    logging.getLogger().handlers[0].addFilter(not_in_a_bar)
    try:
        return module.run(options)
    except (OSError, ValueError) as error:
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", []))
        print(f"psa {name}: {error}{notes}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _describe() -> argparse.ArgumentParser:
    """The command without a sub-command."""
    parser = argparse.ArgumentParser("psa", description="Use networks trained by the workflow PSA.")
    parser.add_argument("--version", action="version", version=f"psa_core {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, purpose in COMMANDS.items():
        commands.add_parser(name, help=purpose)
    return parser
