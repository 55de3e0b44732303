"""A few validation images with their predictions."""

from typing import TYPE_CHECKING

from psa_core.datasets.index import read_images
from psa_core.evaluation import figures
from psa_core.evaluation.overlay import overlay
from psa_core.runtime import logs
from psa_core.runtime.artifacts import listed_images, read_label_map, read_lines

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0], reads=snakemake.input):
    names = read_lines(snakemake.input.classes)
    masked = listed_images(snakemake.input.masks)
    rows = {}
    for row in read_images(snakemake.input.images, listed=snakemake.params.images):
        patterns = [snakemake.params.predictions]
        patterns += [snakemake.params.masks] if row.image in masked else []
        image = row.read()
        label_maps = [read_label_map(each.format(row.image), image.shape[:2]) for each in patterns]
        rows[row.image] = [image, *(overlay(image, label_map) for label_map in label_maps)]
    grid = figures.grid(rows, ["image", "prediction", "true mask"], names)
    figures.save(snakemake.output[0], grid)
