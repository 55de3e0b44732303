"""The score of every stage, as bars."""

from typing import TYPE_CHECKING

import pandas as pd

from psa_core import figures, logs

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]):
    figures.save(snakemake.output[0], figures.bars(pd.read_csv(snakemake.input[0])))
