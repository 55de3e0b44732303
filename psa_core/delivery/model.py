"""The segmentation model as one self-describing file, and its model card."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from psa_core.datasets.formats.reading import reading_of
from psa_core.networks.files import read_tensors, write_tensors
from psa_core.networks.metadata import read_metadata
from psa_core.runtime.artifacts import replacing


def write_model(
    path: str | Path,
    network: str | Path,
    *,
    inference: dict,
    metrics: pd.DataFrame,
    licence: str | None,
) -> None:
    """Copy a network file and add the run's prediction settings, scores and licence.

    inference: section `segmentation.inference`, how the run predicted. metrics: rows of
    `evaluation.metrics.scores` of all stages. licence: under which the model may be used.
    """
    metadata = read_metadata(network)
    added = {"inference": inference, "metrics": _by_stage(metrics), "licence": licence}
    write_tensors(path, read_tensors(network), metadata | added)


def _by_stage(metrics: pd.DataFrame) -> dict[str, dict]:
    """{stage: {split, images, iou: {class: per cent, or None}}} of rows of `metrics.scores`."""
    return {
        str(stage): {
            "split": str(rows["split"].iloc[0]),
            "images": int(rows["images"].iloc[0]),
            "iou": {
                name: None if pd.isna(iou) else round(float(iou), 2)
                for name, iou in zip(rows["class"], rows["iou"], strict=True)
            },
        }
        for stage, rows in metrics.groupby("stage", sort=False)
    }


def write_card(path: str | Path, model: str | Path) -> None:
    """Write the model card, Markdown, of a model that `write_model` wrote."""
    with replacing(path) as temporary:
        temporary.write_text(card(read_metadata(model), Path(model).name), encoding="utf-8")


def card(metadata: dict, name: str) -> str:
    """Model card of a model's metadata. name: of its file."""
    settings, versions = metadata["settings"], metadata["versions"]
    classes = [f"| {index} | {each} |" for index, each in enumerate(metadata["classes"], start=1)]
    sections = [
        f"# {name}",
        "A segmentation model learned from image-level labels by PSA (AffinityNet, Ahn and Kwak, "
        "CVPR 2018). It assigns each pixel of an image to the background or to one of "
        f"{len(metadata['classes'])} classes.",
        f"```bash\npsa predict {name} IMAGES --output FOLDER\npsa info {name}\n```",
        "`psa` is installed with the workflow that trained it.",
        "## Classes",
        "\n".join(["| index | class |", "|---|---|", "| 0 | background |", *classes]),
        "## Facts",
        "\n".join(
            [
                f"- Data set: {metadata.get('dataset', 'unknown')}",
                f"- Network: {settings.get('architecture')} on {settings['backbone']}",
                f"- Input: {_pixels(metadata.get('images', {}))}, {_input(metadata['inference'])}",
                f"- Seed: {metadata.get('seed', 'unknown')}",
                "- Versions: " + ", ".join(f"{name} {v}" for name, v in sorted(versions.items())),
                f"- Licence: {metadata['licence'] or 'not stated'}",
            ]
        ),
        "## Scores",
        _scores(metadata["metrics"]),
    ]
    return "\n\n".join(sections) + "\n"


def _pixels(images: dict) -> str:
    bands, value_range = reading_of(images)
    pixels = f"bands {', '.join(map(str, bands))} as RGB" if bands else "RGB images"
    if value_range:
        pixels += f" of the values {value_range[0]:g} (black) to {value_range[1]:g} (white)"
    return pixels


def _input(inference: dict) -> str:
    side, dcrf = inference.get("longest_side"), inference.get("dcrf") or {}
    size = f"resized to a longest side of {side} pixels" if side else "of any size, as they are"
    scales = ", ".join(f"{scale:g}" for scale in inference["scales"])
    mirrored = " and mirrored" if inference["flip"] else ""
    refined = "; then a dense CRF" if dcrf.get("iterations") else ""
    return f"{size}, at the scales {scales}{mirrored}{refined}"


def _scores(metrics: dict[str, dict]) -> str:
    """The IoU of each class at each stage as a Markdown table."""
    if not metrics:
        return "There were no true masks to score it on."
    lines = [
        "IoU (%). The stages before `segmentation` made its training labels, from image-level "
        "labels that it does not see.\n",
        "| | " + " | ".join(metrics) + " |",
        "|---" * (1 + len(metrics)) + "|",
        "| images | " + " | ".join(f"{s['images']} {s['split']}" for s in metrics.values()) + " |",
    ]
    for name in next(iter(metrics.values()))["iou"]:
        values = (stage["iou"][name] for stage in metrics.values())
        shown = ("" if value is None else f"{value:.1f}" for value in values)
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)
