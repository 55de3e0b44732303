"""Confident areas of one shard of images."""

from typing import TYPE_CHECKING

from psa_core import logs, parallel
from psa_core.affinity_labels import affinity_labels, with_true_mask
from psa_core.artifacts import read_array, write_label_map, write_manifest
from psa_core.datasets.index import read_classes, read_image, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, pattern = dict(snakemake.params.settings), snakemake.params.labels
with logs.stage(snakemake.log[0], settings=settings):
    classes = read_classes(snakemake.params.classes)
    listed = classes.indices(";".join(settings.pop("true_masks")))
    images = read_index(snakemake.params.index, snakemake.params.images)

    def label(row):
        labels = affinity_labels(
            read_image(row.path),
            read_array(snakemake.params.maps.format(row.image)),
            classes.indices(row.labels),
            **settings,
        )
        if listed and row.mask:
            labels = with_true_mask(labels, classes.read_mask(row.mask), listed)
        return labels

    results = parallel.in_processes(label, images, processes=snakemake.threads)
    for row, labels in logs.progress(results, total=len(images), label="images"):
        write_label_map(pattern.format(row.image), labels)
    write_manifest(snakemake.output.get("manifest"), map(pattern.format, images.image))
