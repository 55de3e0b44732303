"""Class activation maps of one shard of images."""

from typing import TYPE_CHECKING

from psa_core import cam, inference, logs, networks
from psa_core.artifacts import write_array, write_manifest
from psa_core.compute import open_device
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, pattern = dict(snakemake.params.settings), snakemake.params.maps
with logs.stage(snakemake.log[0], settings=settings):
    device = open_device(snakemake.config["device"], snakemake.threads)
    network = networks.read(
        snakemake.input.network, device, output_stride=settings.pop("output_stride")
    )
    classes = read_classes(snakemake.params.classes)
    images = read_index(snakemake.params.index, snakemake.params.images)

    def predict(rows, pixels):
        labels = [classes.indices(row.labels) for row in rows]
        return cam.class_activation_maps(network, pixels, labels, **settings)

    results = inference.predictions(predict, images, device)
    for row, maps in logs.progress(results, total=len(images), label="images"):
        write_array(pattern.format(row.image), maps)
    write_manifest(snakemake.output.get("manifest"), map(pattern.format, images.image))
