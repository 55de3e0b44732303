"""Predictions of the segmentation model for one shard of images, in our or the data's indices."""

from typing import TYPE_CHECKING

import numpy as np

from psa_core.datasets.index import read_images
from psa_core.method import segmentation
from psa_core.networks.files import read_network
from psa_core.runtime import inference, logs
from psa_core.runtime.artifacts import write_label_map, write_manifest
from psa_core.runtime.compute import open_device
from psa_core.runtime.parallel import forked

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, pattern = dict(snakemake.params.settings), snakemake.params.predictions
mask_values = snakemake.params.get("mask_values")  # VOC's server wants the values of its own masks
processes = snakemake.threads if settings["dcrf"]["iterations"] else 1
with logs.stage(snakemake.log[0], settings=settings), forked(processes) as refine_all:
    longest_side = settings.pop("longest_side")
    device = open_device(snakemake.config["device"], snakemake.threads)
    network = read_network(snakemake.input.network, device)
    images = read_images(snakemake.input.images, only=snakemake.wildcards.get("image"))

    def predict(rows, pixels):
        size = rows[0].height, rows[0].width
        return segmentation.predict(network, pixels, size=size, refine_all=refine_all, **settings)

    results = inference.predictions(predict, images, device, longest_side=longest_side)
    for row, labels in logs.progress(results, total=len(images), label="images"):
        coded = np.array(mask_values, np.uint8)[labels] if mask_values else labels
        write_label_map(pattern.format(row.image), coded)
    write_manifest(snakemake.output.get("manifest"), pattern, [row.image for row in images])
