"""Affinities of neighbouring cells for one shard of images."""

from typing import TYPE_CHECKING

from psa_core import affinity, inference, logs, networks
from psa_core.artifacts import write_edges
from psa_core.compute import open_device
from psa_core.datasets.index import read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = snakemake.params.settings
with logs.stage(snakemake.log[0], settings=settings):
    device = open_device(snakemake.config["device"], snakemake.threads)
    network = networks.read(snakemake.input.network, device)
    images = read_index(snakemake.params.index, snakemake.params.images)

    def predict(rows, pixels):
        return affinity.edges(network, pixels, **settings)

    results = inference.predictions(predict, images, device)
    results = logs.progress(results, total=len(images), label="images")
    write_edges(snakemake.output.edges, ((row.image, edges) for row, edges in results))
