"""Scores of the label maps of one stage against the true masks."""

from typing import TYPE_CHECKING

from psa_core import logs, metrics
from psa_core.artifacts import by_image, read_label_map, write_table
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

stage, split = snakemake.params.stage, snakemake.params.split
with logs.stage(snakemake.log[0], stage=stage, split=split):
    classes = read_classes(snakemake.input.classes)
    mask = read_index(snakemake.input.index).set_index("image")["mask"]
    files = by_image(snakemake.input.labels)
    confusion = metrics.confusion_matrix(
        ((classes.read_mask(mask[image]), read_label_map(path)) for image, path in files.items()),
        len(classes.names),
    )
    table = metrics.scores(confusion, classes.names, stage=stage, split=split, images=len(files))
    write_table(snakemake.output[0], table)
