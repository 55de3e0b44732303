"""F-measures of predicted boundaries against those of the true masks."""

from typing import TYPE_CHECKING

import numpy as np

from psa_core import boundaries, logs
from psa_core.artifacts import by_image, read_label_map, write_table
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]) as log:
    classes = read_classes(snakemake.input.classes)
    masks = read_index(snakemake.input.index).set_index("image")["mask"]
    files = by_image(snakemake.input.boundaries)
    counts = [
        boundaries.match(read_label_map(path) / 255, classes.read_mask(masks[image]))
        for image, path in logs.progress(files.items(), total=len(files), label="images")
    ]
    table = boundaries.scores(np.array(counts))
    write_table(snakemake.output[0], table)
    log.info("\n%s", table.to_string(index=False))
