"""The score of every stage, as bars."""

from typing import TYPE_CHECKING

from psa_core.evaluation import figures
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]):
    figures.save(snakemake.output[0], figures.bars(read_table(snakemake.input[0])))
