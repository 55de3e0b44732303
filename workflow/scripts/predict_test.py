"""Predictions of the segmentation model for one shard of test images, for VOC's server."""

from typing import TYPE_CHECKING

from psa_core import logs, networks, segmentation
from psa_core.artifacts import by_image, write_label_map
from psa_core.compute import open_device
from psa_core.datasets.index import read_classes, read_image, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = snakemake.params.settings
with logs.stage(snakemake.log[0], settings=settings):
    device = open_device(snakemake.config["device"], snakemake.threads)
    network = networks.read(snakemake.input.network, device)
    classes = read_classes(snakemake.input.classes)
    index = read_index(snakemake.input.index).set_index("image")
    outputs = by_image(snakemake.output.predictions)
    for image, path in logs.progress(outputs.items(), total=len(outputs), label="images"):
        prediction = segmentation.predict(network, read_image(index.path[image]), **settings)
        write_label_map(path, classes.mask_values(prediction))
