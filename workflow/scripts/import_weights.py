"""The network of a stage, from a file of weights in place of a training."""

from typing import TYPE_CHECKING

from psa_core import logs, networks
from psa_core.datasets.index import read_classes

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = snakemake.params.settings
with logs.stage(snakemake.log[0], settings=settings):
    classes = read_classes(snakemake.params.classes)
    networks.import_weights(
        snakemake.output.network, snakemake.params.stage, settings, len(classes.names)
    )
