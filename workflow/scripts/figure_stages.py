"""A few training images through all stages."""

from typing import TYPE_CHECKING

from psa_core.datasets.index import read_images
from psa_core.evaluation import figures
from psa_core.evaluation.overlay import overlay
from psa_core.runtime import logs
from psa_core.runtime.artifacts import listed_images, read_array, read_label_map, read_lines

if TYPE_CHECKING:
    from snakemake.script import snakemake

TITLES = [
    "image",
    "class activation",
    "confident areas\n(grey: undecided)",
    "random walk",
    "pseudo label",
    "true mask",
]

with logs.stage(snakemake.log[0], reads=snakemake.input):
    names = read_lines(snakemake.input.classes)
    masked = listed_images(snakemake.input.masks)
    rows = {}
    for row in read_images(snakemake.input.images, listed=snakemake.params.images):
        patterns = list(snakemake.params.labels)
        patterns += [snakemake.params.masks] if row.image in masked else []
        image = row.read()
        maps = read_array(snakemake.params.maps.format(row.image), len(row.classes))
        labels = [read_label_map(each.format(row.image), image.shape[:2]) for each in patterns]
        tinted = [overlay(image, label_map) for label_map in labels]
        rows[row.image] = [image, figures.heat(image, maps), *tinted]
    figures.save(snakemake.output[0], figures.grid(rows, TITLES, names))
