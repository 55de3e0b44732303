"""Scores of the class activation maps against the true masks."""

from typing import TYPE_CHECKING

from psa_core import logs, maps, metrics
from psa_core.artifacts import by_image, read_array, write_table
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

alpha, split = snakemake.params.settings["alpha"], snakemake.params.split
with logs.stage(snakemake.log[0], alpha=alpha, split=split):
    classes = read_classes(snakemake.input.classes)
    index = read_index(snakemake.input.index).set_index("image")
    files = by_image(snakemake.input.maps)

    def predict(row):
        scores = maps.with_background(read_array(files[row.Index]), alpha)
        return maps.arg_max(scores, classes.indices(row.labels), (row.height, row.width))

    rows = index.loc[list(files)].itertuples()
    confusion = metrics.confusion_matrix(
        ((classes.read_mask(row.mask), predict(row)) for row in rows), len(classes.names)
    )
    table = metrics.scores(confusion, classes.names, stage="cam", split=split, images=len(files))
    write_table(snakemake.output[0], table)
