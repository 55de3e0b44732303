"""Pseudo labels of one shard of images: dense CRF, then arg max."""

from typing import TYPE_CHECKING

from psa_core import labels, logs
from psa_core.artifacts import by_image, read_array, write_label_map
from psa_core.datasets.index import read_classes, read_image, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = snakemake.params.settings
with logs.stage(snakemake.log[0], settings=settings):
    classes = read_classes(snakemake.input.classes)
    index = read_index(snakemake.input.index).set_index("image")
    scores, outputs = by_image(snakemake.input.scores), by_image(snakemake.output.labels)
    for image, path in logs.progress(outputs.items(), total=len(outputs), label="images"):
        label_map = labels.refine(
            read_image(index.path[image]),
            read_array(scores[image]),
            classes.indices(index.labels[image]),
            **settings,
        )
        write_label_map(path, label_map)
