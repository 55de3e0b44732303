"""Boundary strength of one shard of images, from the affinities of nearest neighbours."""

from typing import TYPE_CHECKING

from psa_core import logs
from psa_core.artifacts import by_image, read_edges, write_grey
from psa_core.boundaries import boundary_strength
from psa_core.datasets.index import read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = snakemake.params.settings
with logs.stage(snakemake.log[0], settings=settings):
    index = read_index(snakemake.input.index).set_index("image")
    for image, path in by_image(snakemake.output.boundaries).items():
        edges = read_edges(snakemake.input.edges, image)
        size = (index.height[image], index.width[image])
        write_grey(path, boundary_strength(edges, size, **settings))
