"""`psa info`: print the metadata of a network file."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from psa_core.networks.metadata import read_metadata, shapes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", type=Path, help="model.safetensors or network.safetensors")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> int:
    """Print the metadata of a network file."""
    metadata = read_metadata(options.network)
    if options.json:
        print(json.dumps(metadata, indent=2, ensure_ascii=False))
    else:
        print("\n".join(lines(options.network, metadata)))
    return 0


def lines(path: Path, metadata: dict) -> list[str]:
    """The metadata as lines of text, one fact per line."""
    numbers = sum(math.prod(shape) for shape in shapes(path).values())
    facts = {
        "file": f"{path}, {path.stat().st_size / 1e6:.1f} MB, {numbers / 1e6:.2f} million numbers",
        "stage": metadata["stage"],
        "classes": ", ".join(f"{i} {name}" for i, name in enumerate(metadata["classes"], start=1)),
        "network": _joined(metadata["settings"]),
        "preprocessing": _joined(metadata["preprocessing"]),
        "images": _joined({k: v for k, v in metadata.get("images", {}).items() if v}) or None,
        "data set": metadata.get("dataset"),
        "seed": metadata.get("seed"),
        "prediction": _joined(metadata["inference"]) if "inference" in metadata else None,
        "licence": metadata.get("licence"),
        "versions": _joined(metadata["versions"]),
    }
    for stage, scores in metadata.get("metrics", {}).items():
        facts[f"mIoU of {stage}"] = (
            f"{scores['iou']['mean']} on {scores['images']} images of {scores['split']}"
        )
    return [f"{name}: {fact}" for name, fact in facts.items() if fact is not None]


def _joined(section: dict) -> str:
    return ", ".join(f"{key} {json.dumps(value)}" for key, value in sorted(section.items()))
