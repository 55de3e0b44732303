"""Formats of data sets. A format is a module with `read(dataset) -> Source`; register it here.

Formats of the labels of a `folder` data set are in `labels/`.

Standard library only: the Snakefile reads the data set at each start.
"""

from psa_core.datasets.formats import folder, voc
from psa_core.datasets.formats.checks import finish_lists
from psa_core.datasets.formats.review import read_review
from psa_core.datasets.formats.source import DatasetError, Source

FORMATS = {"voc": voc, "folder": folder}


def read(dataset: dict) -> Source:
    """Lists, labels and files of a data set; no image is opened.

    dataset: the config section of that name.
    Raises DatasetError for an unknown format or a missing folder; all else is in `Source.problems`.
    """
    if dataset["format"] not in FORMATS:
        raise DatasetError(
            f"dataset.format: {dataset['format']!r} is unknown: use one of {', '.join(FORMATS)}"
        )
    source = FORMATS[dataset["format"]].read(dataset)
    read_review(dataset, source)
    finish_lists(dataset, source)
    return source
