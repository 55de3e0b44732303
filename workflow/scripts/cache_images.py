"""The training images, decoded once at the size that trainings need."""

from typing import TYPE_CHECKING

from psa_core import logs
from psa_core.datasets.cache import write_cache
from psa_core.datasets.index import read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

longest_side = snakemake.params.longest_side
with logs.stage(snakemake.log[0], longest_side=longest_side):
    images = read_index(snakemake.params.index, snakemake.params.images)
    write_cache(
        snakemake.output[0],
        images["path"].tolist(),
        longest_side=longest_side,
        threads=snakemake.threads,
        progress=logs.counter("images"),
    )
