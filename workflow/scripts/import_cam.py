"""Class maps of another method for one shard of images, checked and normalised."""

from typing import TYPE_CHECKING

from psa_core import logs, maps
from psa_core.artifacts import write_array, write_manifest
from psa_core.datasets.index import read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

foreign, pattern = snakemake.params.foreign, snakemake.params.maps
with logs.stage(snakemake.log[0], foreign=foreign):
    images = read_index(snakemake.params.index, snakemake.params.images)
    for row in logs.progress(images.itertuples(), total=len(images), label="images"):
        checked = maps.read_foreign(foreign.format(row.image), len(row.labels.split(";")))
        write_array(pattern.format(row.image), checked)
    write_manifest(snakemake.output.get("manifest"), map(pattern.format, images.image))
