"""Class activation maps of one shard of images."""

from typing import TYPE_CHECKING

from psa_core.datasets.index import read_images
from psa_core.method import cam
from psa_core.networks.files import read_network
from psa_core.runtime import inference, logs
from psa_core.runtime.artifacts import write_array, write_manifest
from psa_core.runtime.compute import open_device

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, pattern = dict(snakemake.params.settings), snakemake.params.maps
with logs.stage(snakemake.log[0], settings=settings):
    longest_side = settings.pop("longest_side")
    device = open_device(snakemake.config["device"], snakemake.threads)
    network = read_network(
        snakemake.input.network, device, output_stride=settings.pop("output_stride")
    )
    images = read_images(snakemake.input.images, only=snakemake.wildcards.get("image"))

    def predict(rows, pixels):
        return cam.class_activation_maps(network, pixels, [row.classes for row in rows], **settings)

    results = inference.predictions(predict, images, device, longest_side=longest_side)
    for row, maps in logs.progress(results, total=len(images), label="images"):
        write_array(pattern.format(row.image), maps)
    write_manifest(snakemake.output.get("manifest"), pattern, [row.image for row in images])
