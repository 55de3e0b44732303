"""The class maps of one shard of images, spread over their affinities."""

from typing import TYPE_CHECKING

from psa_core import logs, maps, walk
from psa_core.artifacts import by_image, read_array, read_edges, write_array, write_label_map
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = dict(snakemake.params.settings)
with logs.stage(snakemake.log[0], settings=settings):
    alpha = settings.pop("alpha")
    classes = read_classes(snakemake.input.classes)
    index = read_index(snakemake.input.index).set_index("image")
    activation_maps, labels = by_image(snakemake.input.maps), by_image(snakemake.output.labels)
    outputs = by_image(snakemake.output.scores)
    for image, path in logs.progress(outputs.items(), total=len(outputs), label="images"):
        row = index.loc[image]
        edges = read_edges(snakemake.input.edges, image)
        cells = maps.resize(read_array(activation_maps[image]), edges.shape[1:])
        scores = walk.propagate(maps.with_background(cells, alpha), edges, **settings)
        write_array(path, scores)
        size = (row.height, row.width)
        write_label_map(labels[image], maps.arg_max(scores, classes.indices(row.labels), size))
