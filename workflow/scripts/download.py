"""One archive from the internet."""

from typing import TYPE_CHECKING

from psa_core.datasets.convert.download import fetch
from psa_core.runtime import logs

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]):
    url = snakemake.config[snakemake.params.archive]["url"]  # no parameter: a mirror reruns nothing
    fetch(url, snakemake.output[0], snakemake.params.md5)
