"""The network of a stage, from a file of weights in place of a training."""

from typing import TYPE_CHECKING

from psa_core.networks.files import import_weights
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_lines

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = snakemake.params.settings
with logs.stage(snakemake.log[0], settings=settings):
    classes = read_lines(snakemake.input.classes)
    stage, images = snakemake.params.stage, dict(snakemake.params.images)
    import_weights(snakemake.output.network, stage, settings, classes, images)
