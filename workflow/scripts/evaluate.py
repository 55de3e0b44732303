"""Scores of one stage's label maps, or of its class maps, against the true masks."""

from typing import TYPE_CHECKING

from psa_core.datasets.index import read_images
from psa_core.evaluation import metrics
from psa_core.method import maps
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_array, read_label_map, read_lines, write_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

stage, split, files = snakemake.params.stage, snakemake.params.split, snakemake.params
with logs.stage(snakemake.log[0], stage=stage, split=split, settings=files.settings):
    names = read_lines(snakemake.input.classes)
    images = read_lines(snakemake.input.scored)
    masks = (read_label_map(files.masks.format(image)) for image in images)
    if stage == "cam":
        rows = read_images(snakemake.input.images, listed=images)  # in the same order
        scores = (
            maps.with_background(read_array(files.predicted.format(row.image)), **files.settings)
            for row in rows
        )
        predicted = (
            maps.arg_max(each, row.classes, (row.height, row.width))
            for each, row in zip(scores, rows, strict=True)
        )
    else:
        predicted = (read_label_map(files.predicted.format(image)) for image in images)
    matrices = metrics.confusion_matrices(zip(masks, predicted, strict=True), len(names))
    table = metrics.scores(matrices, names, stage=stage, split=split, images=len(images))
    write_table(snakemake.output[0], table)
