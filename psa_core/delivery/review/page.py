"""The review page, and its data: why each label is suspicious, worst first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from psa_core.datasets.index import ImageRow
from psa_core.delivery.names import relative_names
from psa_core.delivery.review import PAGE_FILES
from psa_core.evaluation.label_warning import worst_first
from psa_core.evaluation.overlay import class_colours
from psa_core.runtime.artifacts import replacing

SMALL_MARGIN = 0.1  # the part of the images whose margin counts as small


def write_page(
    index: str | Path,
    images: Sequence[ImageRow],
    checks: pd.DataFrame,
    names: Sequence[str],
    *,
    labels: Mapping[str, str],
    decisions: Mapping[str, str],
    corrected: Collection[str],
) -> None:
    """Write a page, and beside it the files it consists of, data.js among them.

    index: file of the page. checks: rows of `label_check.check` of all images.
    names: of the classes 1..C. labels: digest of each image's label.
    decisions: of the user so far, by image id. corrected: ids of images with a corrected mask.
    """
    data = {
        "classes": list(names),
        "colours": class_colours(len(names)).tolist(),
        "images": describe(images, checks, labels, corrected),
        "decisions": dict(decisions),
    }
    folder = Path(index).parent
    # The text is parsed as JSON, so that no name in it is read as code.
    text = json.dumps(json.dumps(data, separators=(",", ":")))
    with replacing(folder / "data.js") as temporary:
        temporary.write_text(f"const REVIEW = JSON.parse({text});\n", encoding="ascii")
    for file in PAGE_FILES:
        with replacing(folder / Path(file).name) as temporary:
            shutil.copyfile(file, temporary)


def describe(
    images: Sequence[ImageRow],
    checks: pd.DataFrame,
    labels: Mapping[str, str],
    corrected: Collection[str],
) -> list[dict]:
    """What the page shows of each image, worst first; arguments as of `write_page`.

    The order is that of `label_warning.worst_first`, but corrected ones come last.
    """
    names = relative_names([row.path for row in images])
    known = {row.image: (row, name) for row, name in zip(images, names, strict=True)}
    margins = checks.drop_duplicates("image")["margin"]
    small = margins.quantile(SMALL_MARGIN)
    tables = dict(list(checks.groupby("image", sort=False)))
    found = []
    for image in sorted(worst_first(checks).index, key=lambda image: image in corrected):
        rows = tables[image]
        first, (row, file) = rows.iloc[0], known[image]
        reasons = [reason for reason in ("empty", "flooded") if first[reason]]
        lacking = zip(row.classes, rows["missing"], strict=True)
        missing = [index for index, is_missing in lacking if is_missing and not first["empty"]]
        reasons += ["missing"] if missing else []
        reasons += ["margin"] if first["margin"] < small else []
        tags = list(zip(row.classes, rows["share"].round(1).tolist(), strict=True))
        shown = {
            "id": image,
            "file": file,
            "width": row.width,
            "height": row.height,
            "object": round(float(first["object"]), 1),
            "margin": round(float(first["margin"]), 3),
            "reasons": reasons,
            "tags": tags,
            "missing": missing,
            "label": labels[image],
            "corrected": image in corrected,
        }
        found.append(shown)
    return found
