"""The model that a run hands on, and its model card."""

from typing import TYPE_CHECKING

from psa_core.delivery.model import write_card, write_model
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = snakemake.params.settings
with logs.stage(snakemake.log[0], settings=settings):
    metrics = read_table(snakemake.input.metrics)
    write_model(snakemake.output.model, snakemake.input.network, metrics=metrics, **settings)
    write_card(snakemake.output.card, snakemake.output.model)
