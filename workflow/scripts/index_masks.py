"""The true masks of one shard: checked, and written as class indices."""

from typing import TYPE_CHECKING

from psa_core.datasets import index
from psa_core.runtime import logs
from psa_core.runtime.artifacts import write_label_map, write_manifest

if TYPE_CHECKING:
    from snakemake.script import snakemake

pattern, only = snakemake.params.masks, snakemake.wildcards.get("image")
with logs.stage(snakemake.log[0]) as log:
    images = [only] if only else snakemake.params.images
    masked = []
    for image, mask in index.read_masks(
        snakemake.config["dataset"], images, progress=logs.counter("masks")
    ):
        write_label_map(pattern.format(image), mask)
        masked.append(image)
    write_manifest(snakemake.output.get("manifest"), pattern, masked)
    log.info("%d masks", len(masked))
