"""Scores of one stage's label maps, or of its class maps, against the true masks."""

from typing import TYPE_CHECKING

from psa_core.datasets.index import read_images
from psa_core.errors import UserError
from psa_core.evaluation import metrics
from psa_core.method import maps
from psa_core.runtime import logs
from psa_core.runtime.artifacts import REBUILD, read_array, read_label_map, read_lines, write_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

stage, split, files = snakemake.params.stage, snakemake.params.split, snakemake.params
with logs.stage(snakemake.log[0], stage=stage, split=split, settings=files.settings):
    names = read_lines(snakemake.input.classes)
    images = read_lines(snakemake.input.scored)
    if stage == "cam":
        rows = {row.image: row for row in read_images(snakemake.input.images, listed=images)}

    def label(image, size):
        path = files.predicted.format(image)
        if stage != "cam":
            return read_label_map(path, size, len(names))
        if image not in rows:
            raise UserError(f"{snakemake.input.images}: no row of {image}; {REBUILD}")
        classes = rows[image].classes
        scores = maps.with_background(read_array(path, len(classes)), **files.settings)
        return maps.arg_max(scores, classes, size)

    masks = ((i, read_label_map(files.masks.format(i), classes=len(names))) for i in images)
    pairs = ((mask, label(image, mask.shape)) for image, mask in masks)
    matrices = metrics.confusion_matrices(pairs, len(names))
    table = metrics.scores(matrices, names, stage=stage, split=split, images=len(images))
    write_table(snakemake.output[0], table)
