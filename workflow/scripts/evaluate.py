"""Scores of one stage's label maps, or of its class maps, against the true masks."""

from typing import TYPE_CHECKING

from psa_core.evaluation import scoring
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_lines, write_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

stage, split, files = snakemake.params.stage, snakemake.params.split, snakemake.params
with logs.stage(
    snakemake.log[0], reads=snakemake.input, stage=stage, split=split, settings=files.settings
):
    names = read_lines(snakemake.input.classes)
    images = read_lines(snakemake.input.scored)
    if stage == "cam":
        label = scoring.of_class_maps(files.predicted, snakemake.input.images, **files.settings)
    else:
        label = scoring.of_label_maps(files.predicted, len(names))
    table = scoring.score_images(images, names, files.masks, label, stage=stage, split=split)
    write_table(snakemake.output[0], table)
