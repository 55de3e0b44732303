"""COCO's annotations as labels.csv, classes.txt and masks."""

from typing import TYPE_CHECKING

from psa_core.datasets.convert.coco import convert
from psa_core.runtime import logs

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]):
    convert(snakemake.config["root"], snakemake.params.splits)
