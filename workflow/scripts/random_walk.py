"""The class maps of one shard of images, spread over their affinities."""

from typing import TYPE_CHECKING

from psa_core import logs, maps, walk
from psa_core.artifacts import (
    read_array,
    read_edges,
    write_array,
    write_label_map,
    write_manifest,
)
from psa_core.compute import open_device
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, files = dict(snakemake.params.settings), snakemake.params
with logs.stage(snakemake.log[0], settings=settings):
    open_device("cpu", snakemake.threads)  # a walk takes milliseconds
    alpha = settings.pop("alpha")
    classes = read_classes(snakemake.params.classes)
    images = read_index(snakemake.params.index, snakemake.params.images)
    for row in logs.progress(images.itertuples(), total=len(images), label="images"):
        edges = read_edges(snakemake.input.edges, row.image)
        cells = maps.resize(read_array(files.maps.format(row.image)), edges.shape[1:])
        scores = maps.with_background(cells, alpha)
        scores = walk.propagate(scores, edges, **settings)
        write_array(files.scores.format(row.image), scores)
        labels = maps.arg_max(scores, classes.indices(row.labels), (row.height, row.width))
        write_label_map(files.labels.format(row.image), labels)
    write_manifest(snakemake.output.get("manifest"), map(files.scores.format, images.image))
    write_manifest(snakemake.output.get("labels_manifest"), map(files.labels.format, images.image))
