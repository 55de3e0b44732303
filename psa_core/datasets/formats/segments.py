"""Where the segments of an image are, in the user's folder `pseudo_labels.segments`."""

from pathlib import Path

SUFFIXES = (".png", ".npz")


def find_segments(folder: str | Path, image: str) -> str:
    """The path of an image's segments; one that does not exist if there is none."""
    paths = [Path(folder) / f"{image}{suffix}" for suffix in SUFFIXES]
    return str(next((path for path in paths if path.exists()), paths[0]))
