"""Class maps of one shard of images pooled over superpixels."""

from typing import TYPE_CHECKING

from psa_core import logs
from psa_core.artifacts import read_array, write_label_map, write_manifest
from psa_core.datasets.index import read_classes, read_image, read_index
from psa_core.superpixels import superpixel_labels

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, pattern = snakemake.params.settings, snakemake.params.labels
with logs.stage(snakemake.log[0], settings=settings):
    classes = read_classes(snakemake.params.classes)
    images = read_index(snakemake.params.index, snakemake.params.images)
    for row in logs.progress(images.itertuples(), total=len(images), label="images"):
        labels = superpixel_labels(
            read_image(row.path),
            read_array(snakemake.params.maps.format(row.image)),
            classes.indices(row.labels),
            **settings,
        )
        write_label_map(pattern.format(row.image), labels)
    write_manifest(snakemake.output.get("manifest"), map(pattern.format, images.image))
