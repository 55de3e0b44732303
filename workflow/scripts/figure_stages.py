"""A few training images through all stages."""

from typing import TYPE_CHECKING

from psa_core import figures, logs
from psa_core.artifacts import by_image, read_array, read_label_map
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
    files = snakemake.input
    classes = read_classes(files.classes)
    index = read_index(files.index).set_index("image")
    stages = [by_image(paths) for paths in (files.areas, files.walk, files.labels)]
    rows = []
    for name, maps in by_image(files.maps).items():
        row = index.loc[name]
        image = read_image(row.path)
        labels = [read_label_map(stage[name]) for stage in stages]
        labels += [classes.read_mask(row["mask"])] if row["mask"] else []
        tinted = [figures.overlay(image, label_map) for label_map in labels]
        rows.append([image, figures.heat(image, read_array(maps)), *tinted])
    figures.save(snakemake.output[0], figures.grid(rows, TITLES, classes.names))
