"""What users decide after a look at the labels: `dataset.decisions` and `dataset.corrections`.

    decisions.csv      image,decision
    corrections/       masks, see `corrections`

Standard library only: the Snakefile reads both at each start. No mask is opened.
"""

import csv
import io
from collections.abc import Collection
from pathlib import Path

from psa_core.datasets.formats.corrections import find_corrections
from psa_core.datasets.formats.source import (
    Source,
    image_id,
    read_text,
    resolve,
    root_of,
    union,
)

# accept: keep the label. reject: the segmentation model does not learn from the label.
# exclude: the image leaves all lists.
DECISIONS = ("accept", "reject", "exclude")


def read_review(dataset: dict, source: Source) -> None:
    """Read both, and take excluded images out of the lists.

    dataset: the config section of that name.
    source: as the format read it, before `finish_lists`. Changes its decisions, corrections, lists
    and problems in place.
    """
    known, training = set(union(source.lists)), set(source.lists["train_aug"])
    if name := dataset.get("decisions"):
        path = resolve(root_of(dataset), name, name)
        source.decisions.update(_read_decisions(path, known, source.problems))
    if name := dataset.get("corrections"):
        folder = resolve(root_of(dataset), name, name)
        found, coding = find_corrections(folder, source.names, training, source.problems)
        source.corrections.update(found)
        source.correction_coding.extend(coding)
    for key, images in source.lists.items():
        source.lists[key] = [i for i in images if source.decisions.get(i) != "exclude"]


def _read_decisions(path: Path, known: Collection[str], problems: list[str]) -> dict[str, str]:
    """Decision by image id. The csv may name images by their ids or files."""
    text = read_text(path, problems, "create it (image,decision) or correct dataset.decisions")
    if text is None:
        return {}
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    header = [name.strip() for name in reader.fieldnames or []]
    if missing := [name for name in ("image", "decision") if name not in header]:
        problems.append(
            f"{path}: no column {', '.join(missing)} in the header {','.join(header)!r}: "
            "the first line is image,decision"
        )
        return {}
    reader.fieldnames = header
    found: dict[str, str] = {}
    for row in reader:
        name, decision = ((row[key] or "").strip() for key in ("image", "decision"))
        image, line = name if name in known else image_id(name), f"{path}, line {reader.line_num}"
        if image not in known:
            problems.append(
                f"{line}: {name!r} is not in the lists of the data set: correct the name, or "
                "remove the row"
            )
        elif image in found:
            problems.append(f"{line}: {name!r} is listed twice: remove one of the two rows")
        if decision not in DECISIONS:
            problems.append(
                f"{line}: decision {decision!r} of {name!r}: write one of {', '.join(DECISIONS)}"
            )
        found[image] = decision
    return found
