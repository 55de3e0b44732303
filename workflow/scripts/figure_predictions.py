"""A few validation images with their predictions."""

from typing import TYPE_CHECKING

from psa_core import figures, logs
from psa_core.artifacts import read_label_map
from psa_core.datasets.index import read_classes, read_image, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]):
    classes = read_classes(snakemake.params.classes)
    rows = []
    for row in read_index(snakemake.params.index, snakemake.params.images).itertuples():
        image = read_image(row.path)
        labels = [read_label_map(snakemake.params.predictions.format(row.image))]
        labels += [classes.read_mask(row.mask)] if row.mask else []
        rows.append([image, *(figures.overlay(image, label_map) for label_map in labels)])
    figures.save(
        snakemake.output[0], figures.grid(rows, ["image", "prediction", "true mask"], classes.names)
    )
