"""Scores of the label maps of one stage against the true masks."""

from typing import TYPE_CHECKING

from psa_core import logs, metrics
from psa_core.artifacts import read_label_map, write_table
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

stage, split = snakemake.params.stage, snakemake.params.split
with logs.stage(snakemake.log[0], stage=stage, split=split):
    classes = read_classes(snakemake.params.classes)
    images = read_index(snakemake.params.index, snakemake.params.images)
    label_maps = (
        read_label_map(snakemake.params.labels.format(image)) for image in images["image"]
    )
    confusion = metrics.confusion_matrix(
        zip(map(classes.read_mask, images["mask"]), label_maps, strict=True), len(classes.names)
    )
    table = metrics.scores(confusion, classes.names, stage=stage, split=split, images=len(images))
    write_table(snakemake.output[0], table)
