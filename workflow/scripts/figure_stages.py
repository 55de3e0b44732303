"""A few training images through all stages."""

from typing import TYPE_CHECKING

from psa_core import figures, logs
from psa_core.artifacts import read_array, read_label_map
from psa_core.datasets.index import read_classes, read_image, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

TITLES = [
    "image",
    "class activation",
    "confident areas",
    "random walk",
    "pseudo label",
    "true mask",
]

with logs.stage(snakemake.log[0]):
    classes = read_classes(snakemake.params.classes)
    rows = []
    for row in read_index(snakemake.params.index, snakemake.params.images).itertuples():
        image = read_image(row.path)
        maps = read_array(snakemake.params.maps.format(row.image))
        labels = [read_label_map(files.format(row.image)) for files in snakemake.params.labels]
        labels += [classes.read_mask(row.mask)] if row.mask else []
        tinted = [figures.overlay(image, label_map) for label_map in labels]
        rows.append([image, figures.heat(image, maps), *tinted])
    figures.save(snakemake.output[0], figures.grid(rows, TITLES, classes.names))
