"""The archive of the test set's predictions."""

from typing import TYPE_CHECKING

from psa_core import logs
from psa_core.artifacts import write_archive

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]):
    files = map(snakemake.params.predictions.format, snakemake.params.images)
    write_archive(snakemake.output[0], files, folder=snakemake.params.folder)
