"""VOC's archive, unpacked."""

from typing import TYPE_CHECKING

from psa_core.datasets.convert.download import extract
from psa_core.runtime import logs

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]):
    extract(snakemake.input[0], snakemake.config["root"], below="VOCdevkit/VOC2012")
