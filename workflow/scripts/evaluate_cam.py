"""Scores of the class activation maps against the true masks."""

from typing import TYPE_CHECKING

from psa_core import logs, maps, metrics
from psa_core.artifacts import read_array, write_table
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

alpha, split = snakemake.params.settings["alpha"], snakemake.params.split
pattern = snakemake.params.maps
with logs.stage(snakemake.log[0], alpha=alpha, split=split):
    classes = read_classes(snakemake.params.classes)
    images = read_index(snakemake.params.index, snakemake.params.images)

    def predict(row):
        scores = maps.with_background(read_array(pattern.format(row.image)), alpha)
        return maps.arg_max(scores, classes.indices(row.labels), (row.height, row.width))

    confusion = metrics.confusion_matrix(
        ((classes.read_mask(row.mask), predict(row)) for row in images.itertuples()),
        len(classes.names),
    )
    table = metrics.scores(confusion, classes.names, stage="cam", split=split, images=len(images))
    write_table(snakemake.output[0], table)
