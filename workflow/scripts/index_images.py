"""The images of one shard: decoded, checked and described in a table."""

from typing import TYPE_CHECKING

from psa_core.datasets import index
from psa_core.runtime import logs

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]) as log:
    table = index.describe_images(
        snakemake.config["dataset"],
        snakemake.params.images,
        threads=snakemake.threads,
        progress=logs.counter("images"),
    )
    index.write_images(snakemake.output[0], table)
    log.info("%d images", len(table))
