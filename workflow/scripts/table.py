"""A table of the paper: scores of several stages, or of each class of the segmentation models."""

from typing import TYPE_CHECKING

import pandas as pd

from psa_core.evaluation import tables
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_table, write_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = snakemake.params.settings
with logs.stage(snakemake.log[0], settings=settings) as log:
    scores = pd.concat([read_table(path) for path in snakemake.input.scores])
    make = {"stages": tables.stages, "models": tables.models}[snakemake.params.rows]
    table = make(scores, **settings)
    write_table(snakemake.output[0], table)
    log.info("\n%s", table.to_string(index=False, float_format="%.1f"))
