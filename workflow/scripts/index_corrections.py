"""The user's corrected masks: checked, written as class indices, and described in a table."""

from typing import TYPE_CHECKING

from psa_core.datasets.corrections import write_corrections
from psa_core.datasets.index import read_images
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_lines, write_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]) as log:
    images = read_images(snakemake.input.images)
    names = read_lines(snakemake.input.classes)
    given = snakemake.params
    table = write_corrections(images, given.corrections, names, given.coding, given.masks)
    write_table(snakemake.output[0], table)
    log.info("%d corrected masks", len(table))
