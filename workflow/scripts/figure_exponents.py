"""The exponents that `alpha: auto` chose in the walk, for the images of each class."""

from typing import TYPE_CHECKING

import pandas as pd

from psa_core.datasets.index import read_images
from psa_core.evaluation import figures
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]) as log:
    chosen = pd.concat(map(read_table, snakemake.input.exponents)).set_index("image")["exponent"]
    pairs = [
        (name, chosen[row.image])
        for row in read_images(snakemake.input.images)
        for name in row.labels
    ]
    table = pd.DataFrame(pairs, columns=["class", "exponent"]).astype({"exponent": float})
    counts = pd.crosstab(table["class"], table["exponent"])
    log.info("images by class and exponent:\n%s", counts)
    figures.save(snakemake.output[0], figures.counts(counts))
