"""The archive of the test set's predictions."""

from typing import TYPE_CHECKING

from psa_core.runtime import logs
from psa_core.runtime.artifacts import listed_images, write_archive

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0], reads=snakemake.input):
    images = sorted(listed_images(snakemake.input.predictions))
    files = map(snakemake.params.predictions.format, images)
    write_archive(snakemake.output[0], files, folder=snakemake.params.folder)
