"""The paper's tables, by hand."""

import pandas as pd
import pytest

from psa_core.evaluation import tables


def scores(stage, split, cat, background):
    """Rows of `metrics.scores`, the class background first and their mean last."""
    ious = {"background": background, "cat": cat, "mean": (background + cat) / 2}
    return pd.DataFrame(
        [(stage, split, name, iou, 50.0, 50.0, 7) for name, iou in ious.items()],
        columns=["stage", "split", "class", "iou", "precision", "recall", "images"],
    )


def test_stages_side_by_side():
    table = tables.stages(
        pd.concat([scores("superpixels", "train", 20, 60), scores("cam", "train", 30, 80)]), None
    )
    assert list(table) == ["stage", "split", "images", "miou"]
    assert table.values.tolist() == [["superpixels", "train", 7, 40], ["cam", "train", 7, 55]]


@pytest.mark.parametrize(
    ("published", "figures"),
    [
        ("resnet38", [None, 48.0, 46.8, 58.7, 61.7]),
        ("release", [None, 47.7, 47.2, None, None]),
        ("vgg16", [None, 48.9, 46.6, None, 58.4]),
    ],
)
def test_published_figures_of_the_split(published, figures):
    rows = [("superpixels", "train"), ("cam", "train"), ("cam", "val")]
    rows += [("pseudo_labels", "val"), ("segmentation", "val")]
    table = tables.stages(pd.concat([scores(*row, 20, 60) for row in rows]), published)
    assert table["published"].astype(object).where(table["published"].notna(), None).tolist() == (
        figures
    )


def test_models_by_class():
    table = tables.models(scores("segmentation", "val", 30, 90), None)
    assert list(table) == ["class", "segmentation"]
    assert table.values.tolist() == [["background", 90], ["cat", 30], ["mean", 60]]


def test_what_is_recovered_of_the_upper_bound():
    both = pd.concat([scores("segmentation", "val", 30, 90), scores("upper_bound", "val", 60, 90)])
    table = tables.models(both, "vgg16").set_index("class")
    assert table["upper_bound"].tolist() == [90, 60, 75]
    assert table["recovered"].tolist() == [100, 50, 80]  # of the mean 60 of 75
    assert table.loc["mean", ["published", "published_recovered"]].tolist() == [58.4, 86.0]
    assert table.drop(index="mean")[["published", "published_recovered"]].isna().values.all()


def test_nothing_can_be_recovered_of_zero():
    both = pd.concat([scores("segmentation", "val", 30, 90), scores("upper_bound", "val", 0, 90)])
    table = tables.models(both, None).set_index("class")
    assert table["recovered"].round(1).tolist()[::2] == [100, 133.3]  # of the mean 60 of 45
    assert pd.isna(table.loc["cat", "recovered"])


def test_the_public_code_has_no_segmentation_model():
    table = tables.models(scores("segmentation", "val", 30, 90), "release")
    assert table["published"].isna().all()


def test_a_table_of_no_image_is_refused():
    with pytest.raises(ValueError, match=r"no image has a mask"):
        tables.stages(scores("cam", "train", 30, 90).assign(images=0), None)
