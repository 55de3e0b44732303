"""The training images, decoded once at the size that trainings need."""

from typing import TYPE_CHECKING

from psa_core.datasets.cache import write_cache
from psa_core.datasets.index import read_images
from psa_core.runtime import logs

if TYPE_CHECKING:
    from snakemake.script import snakemake

longest_side = snakemake.params.longest_side
with logs.stage(snakemake.log[0], longest_side=longest_side):
    images = read_images(snakemake.input.images)
    write_cache(
        snakemake.output[0],
        [row.path for row in images],
        longest_side=longest_side,
        threads=snakemake.threads,
        reading=images[0].reading,
        progress=logs.counter("images"),
    )
