"""Confident areas of one shard of images."""

from typing import TYPE_CHECKING

from psa_core.datasets.corrections import read_corrections
from psa_core.datasets.index import read_images, resized
from psa_core.method.affinity_labels import affinity_labels, with_true_mask
from psa_core.runtime import artifacts, logs, parallel

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, pattern = dict(snakemake.params.settings), snakemake.params.labels
only = snakemake.wildcards.get("image")
with logs.stage(snakemake.log[0], reads=snakemake.input, only=only, settings=settings):
    names = artifacts.read_lines(snakemake.input.classes)
    known = [names.index(name) + 1 for name in settings.pop("true_masks")]
    masked = artifacts.listed_images(snakemake.input.masks)
    table = snakemake.input.corrections if settings.pop("corrections") else None
    corrected = read_corrections(table) if table else {}
    longest_side = settings.pop("longest_side")
    images = read_images(snakemake.input.images, only=only)

    def label(row):
        size = row.height, row.width
        if row.image in corrected:
            return artifacts.read_label_map(corrected[row.image], size)
        maps = artifacts.read_array(snakemake.params.maps.format(row.image), len(row.classes))
        image = resized(row.read(), longest_side)
        labels = affinity_labels(image, maps, row.classes, size=size, **settings)
        if row.image not in masked:
            return labels
        mask = artifacts.read_label_map(snakemake.params.masks.format(row.image), size)
        return with_true_mask(labels, mask, known)

    results = parallel.in_processes(label, images, processes=snakemake.threads)
    for row, labels in logs.progress(results, total=len(images), label="images"):
        artifacts.write_label_map(pattern.format(row.image), labels)
    made = [row.image for row in images]
    artifacts.write_manifest(snakemake.output.get("manifest"), pattern, made)
