"""Names of images as their users know them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def relative_names(paths: Sequence[str]) -> list[str]:
    """Names of images relative to the innermost folder that holds all of them."""
    folder = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    return [Path(path).relative_to(folder).as_posix() for path in paths]
