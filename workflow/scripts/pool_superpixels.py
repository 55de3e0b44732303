"""Class maps of one shard of images pooled over superpixels."""

from typing import TYPE_CHECKING

from psa_core.datasets.index import read_images
from psa_core.evaluation.superpixels import superpixel_labels
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_array, read_lines, write_label_map, write_manifest

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, pattern = snakemake.params.settings, snakemake.params.labels
only = snakemake.wildcards.get("image")
with logs.stage(snakemake.log[0], reads=snakemake.input, only=only, settings=settings):
    listed = read_lines(snakemake.input.scored)
    images = read_images(snakemake.input.images, only=only, listed=listed)
    for row in logs.progress(images, total=len(images), label="images"):
        maps = read_array(snakemake.params.maps.format(row.image), len(row.classes))
        labels = superpixel_labels(row.read(), maps, row.classes, **settings)
        write_label_map(pattern.format(row.image), labels)
    write_manifest(snakemake.output.get("manifest"), pattern, [row.image for row in images])
