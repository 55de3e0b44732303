"""Affinities of neighbouring cells for one shard of images."""

from typing import TYPE_CHECKING

from psa_core import affinity, logs, networks
from psa_core.artifacts import write_edges
from psa_core.compute import open_device
from psa_core.datasets.index import read_image, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = snakemake.params.settings
with logs.stage(snakemake.log[0], settings=settings):
    device = open_device(snakemake.config["device"], snakemake.threads)
    network = networks.read(snakemake.input.network, device)
    images = read_index(snakemake.params.index, snakemake.params.images)
    rows = logs.progress(images.itertuples(), total=len(images), label="images")
    write_edges(
        snakemake.output.edges,
        ((row.image, affinity.edges(network, read_image(row.path), **settings)) for row in rows),
    )
