"""F-measures of predicted boundaries against those of the true masks."""

from typing import TYPE_CHECKING

import numpy as np

from psa_core import boundaries, logs
from psa_core.artifacts import read_label_map, write_table
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]) as log:
    classes = read_classes(snakemake.params.classes)
    images = read_index(snakemake.params.index, snakemake.params.images)
    counts = [
        boundaries.match(
            read_label_map(snakemake.params.boundaries.format(row.image)) / 255,
            classes.read_mask(row.mask),
        )
        for row in logs.progress(images.itertuples(), total=len(images), label="images")
    ]
    table = boundaries.scores(np.array(counts))
    write_table(snakemake.output[0], table)
    log.info("\n%s", table.to_string(index=False))
