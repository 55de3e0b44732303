"""Affinities of neighbouring cells for one shard of images."""

from typing import TYPE_CHECKING

from psa_core.datasets.index import read_images
from psa_core.method import affinity
from psa_core.networks.files import read_network
from psa_core.runtime import inference, logs
from psa_core.runtime.artifacts import write_edges
from psa_core.runtime.compute import open_device

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = dict(snakemake.params.settings)
with logs.stage(snakemake.log[0], settings=settings):
    longest_side = settings.pop("longest_side")
    device = open_device(snakemake.config["device"], snakemake.threads)
    network = read_network(snakemake.input.network, device)
    images = read_images(snakemake.input.images)

    def predict(rows, pixels):
        return affinity.edges(network, pixels, **settings)

    results = inference.predictions(predict, images, device, longest_side=longest_side)
    results = logs.progress(results, total=len(images), label="images")
    write_edges(snakemake.output.edges, ((row.image, edges) for row, edges in results))
