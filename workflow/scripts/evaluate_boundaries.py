"""F-measures of predicted boundaries against those of the true masks."""

from typing import TYPE_CHECKING

import numpy as np

from psa_core.evaluation import boundaries
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_label_map, read_lines, write_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0], reads=snakemake.input) as log:
    images = read_lines(snakemake.input.scored)

    def match(image):
        mask = read_label_map(snakemake.params.masks.format(image))
        found = read_label_map(snakemake.params.boundaries.format(image), mask.shape)
        return boundaries.match(found / 255, mask)

    counts = [match(image) for image in logs.progress(images, total=len(images), label="images")]
    table = boundaries.scores(np.array(counts))
    write_table(snakemake.output[0], table)
    log.info("\n%s", table.to_string(index=False))
