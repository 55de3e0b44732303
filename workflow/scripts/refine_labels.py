"""Pseudo labels of one shard of images: dense CRF, then arg max."""

from typing import TYPE_CHECKING

from psa_core import labels, logs, parallel
from psa_core.artifacts import read_array, write_label_map, write_manifest
from psa_core.datasets.index import read_classes, read_image, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, pattern = snakemake.params.settings, snakemake.params.labels
with logs.stage(snakemake.log[0], settings=settings):
    classes = read_classes(snakemake.params.classes)
    images = read_index(snakemake.params.index, snakemake.params.images)

    def refine(row):
        return labels.refine(
            read_image(row.path),
            read_array(snakemake.params.scores.format(row.image)),
            classes.indices(row.labels),
            **settings,
        )

    results = parallel.in_processes(refine, images, processes=snakemake.threads)
    for row, label_map in logs.progress(results, total=len(images), label="images"):
        write_label_map(pattern.format(row.image), label_map)
    write_manifest(snakemake.output.get("manifest"), map(pattern.format, images.image))
