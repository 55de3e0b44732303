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
    images = read_images(snakemake.input.images, listed=read_lines(snakemake.input.scored))

    def compare(row):
        mask, predicted = files.masks.format(row.image), files.predicted.format(row.image)
        if stage != "cam":
            return read_label_map(mask), read_label_map(predicted)
        scores = maps.with_background(read_array(predicted), files.settings["alpha"])
        return read_label_map(mask), maps.arg_max(scores, row.classes, (row.height, row.width))

    confusion = metrics.confusion_matrix(map(compare, images), len(names))
    table = metrics.scores(confusion, names, stage=stage, split=split, images=len(images))
    write_table(snakemake.output[0], table)
