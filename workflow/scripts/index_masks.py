"""The true masks of one shard: checked, and written as class indices."""

from typing import TYPE_CHECKING

import pandas as pd

from psa_core.datasets import index
from psa_core.datasets.summary import values_of
from psa_core.runtime import logs
from psa_core.runtime.artifacts import write_label_map, write_manifest, write_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

pattern, only = snakemake.params.masks, snakemake.wildcards.get("image")
with logs.stage(snakemake.log[0]) as log:
    images = [only] if only else snakemake.params.images
    values = {}
    for image, mask in index.read_masks(
        snakemake.config["dataset"], images, progress=logs.counter("masks")
    ):
        write_label_map(pattern.format(image), mask)
        values[image] = values_of(mask)
    if snakemake.output.get("values"):  # of a shard, not of a single image
        table = pd.DataFrame({"image": values.keys(), "values": values.values()}, dtype=str)
        write_table(snakemake.output["values"], table)
    write_manifest(snakemake.output.get("manifest"), pattern, values)
    log.info("%d masks", len(values))
