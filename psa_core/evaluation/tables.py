"""The tables of the paper: scores of this run beside the published ones."""

from __future__ import annotations

from typing import Any

import pandas as pd

from psa_core.errors import UserError

# mIoU on PASCAL VOC 2012 by split and stage. The public code has no dense CRF after its walk.
PUBLISHED: dict[str, dict[str, Any]] = {
    "resnet38": {  # the paper, tables 1 to 5
        "train": {"cam": 48.0, "walk": 58.1, "pseudo_labels": 59.7},
        "val": {"cam": 46.8, "walk": 57.0, "pseudo_labels": 58.7, "segmentation": 61.7},
        "recovered": 77.0,
    },
    "release": {  # labels of the public code with ResNet38; it has no segmentation model
        "train": {"cam": 47.7, "walk": 61.0},
        "val": {"cam": 47.2, "walk": 60.2},
    },
    "vgg16": {  # labels of the public code with VGG16; the paper's DeepLab on its own labels
        "train": {"cam": 48.9, "walk": 59.6},
        "val": {"cam": 46.6, "walk": 54.0, "segmentation": 58.4},
        "recovered": 86.0,
    },
}


def stages(scores: pd.DataFrame, published: str | None) -> pd.DataFrame:
    """The mIoU of each stage (paper, tables 1 and 5).

    scores: rows of `metrics.scores` of several stages. published: a key of PUBLISHED or None.
    Returns columns stage, split, images, miou, and, if a publication is named, published (NaN if it
    has no such figure); all figures in per cent.
    Raises UserError if a stage was scored on no image.
    """
    if not scores["images"].all():
        raise UserError("no image has a mask to be scored on: add masks of train or val images")
    table = scores.loc[scores["class"] == "mean", ["stage", "split", "images", "iou"]]
    table = table.rename(columns={"iou": "miou"}).reset_index(drop=True)
    if published:
        figures = PUBLISHED[published]
        rows = zip(table["split"], table["stage"], strict=True)
        table["published"] = [figures[split].get(stage) for split, stage in rows]
    return table


def models(scores: pd.DataFrame, published: str | None) -> pd.DataFrame:
    """IoU of each class, and their mean, of the segmentation models (paper, tables 2 to 4).

    scores: rows of `metrics.scores` of stage segmentation and, if the upper bound was trained, of
    stage upper_bound. published: a key of PUBLISHED or None.
    Returns columns class and segmentation; with an upper bound also upper_bound and recovered
    (segmentation relative to upper_bound); with a publication also published and, with an upper
    bound, published_recovered, both in the row `mean` only. All figures in per cent.
    """
    table = scores.pivot(index="class", columns="stage", values="iou")
    table = table.loc[scores["class"].unique()].reset_index().rename_axis(columns=None)
    is_mean = table["class"] == "mean"
    figures = PUBLISHED[published] if published else None
    if figures:
        table["published"] = is_mean.map({True: figures["val"].get("segmentation")})
    if "upper_bound" in table:
        upper_bound = table["upper_bound"].where(table["upper_bound"] > 0)
        table["recovered"] = 100 * table["segmentation"] / upper_bound
        if figures:
            table["published_recovered"] = is_mean.map({True: figures.get("recovered")})
    return table
