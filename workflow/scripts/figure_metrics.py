"""The score of every stage, and where its IoU is lost, as bars."""

from typing import TYPE_CHECKING

from psa_core.evaluation import figures
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]):
    metrics = read_table(snakemake.input[0])
    figures.save(snakemake.output.scores, figures.bars(metrics))
    figures.save(snakemake.output.losses, figures.losses(metrics))
