"""True masks of one shard of images as class indices."""

from typing import TYPE_CHECKING

from psa_core import logs
from psa_core.artifacts import write_label_map, write_manifest
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

pattern = snakemake.params.labels
with logs.stage(snakemake.log[0]):
    classes = read_classes(snakemake.params.classes)
    images = read_index(snakemake.params.index, snakemake.params.images)
    for row in images.itertuples():
        write_label_map(pattern.format(row.image), classes.read_mask(row.mask))
    write_manifest(snakemake.output.get("manifest"), map(pattern.format, images.image))
