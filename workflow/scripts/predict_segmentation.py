"""Predictions of the segmentation model for one shard of images, in our or the data's indices."""

from typing import TYPE_CHECKING

from psa_core import inference, logs, networks, segmentation
from psa_core.artifacts import write_label_map, write_manifest
from psa_core.compute import open_device
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, pattern = snakemake.params.settings, snakemake.params.predictions
classes = snakemake.params.get("classes")  # VOC's server wants the values of its own masks
with logs.stage(snakemake.log[0], settings=settings):
    device = open_device(snakemake.config["device"], snakemake.threads)
    network = networks.read(snakemake.input.network, device)
    coded = read_classes(classes).mask_values if classes else lambda labels: labels
    images = read_index(snakemake.params.index, snakemake.params.images)

    def predict(rows, pixels):
        return segmentation.predict(network, pixels, **settings)

    results = inference.predictions(predict, images, device)
    for row, labels in logs.progress(results, total=len(images), label="images"):
        write_label_map(pattern.format(row.image), coded(labels))
    write_manifest(snakemake.output.get("manifest"), map(pattern.format, images.image))
