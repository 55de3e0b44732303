"""Boundary strength of one shard of images, from the affinities of nearest neighbours."""

from typing import TYPE_CHECKING

from psa_core.datasets.index import read_images
from psa_core.evaluation.boundaries import boundary_strength
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_edges, write_grey, write_manifest

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, pattern = snakemake.params.settings, snakemake.params.boundaries
with logs.stage(snakemake.log[0], settings=settings):
    images = read_images(snakemake.input.images, only=snakemake.wildcards.get("image"))
    for row in logs.progress(images, total=len(images), label="images"):
        edges = read_edges(snakemake.input.edges, row.image)
        strength = boundary_strength(edges, (row.height, row.width), **settings)
        write_grey(pattern.format(row.image), strength)
    write_manifest(snakemake.output.get("manifest"), pattern, [row.image for row in images])
