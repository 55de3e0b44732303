"""A list that the plan knows, one name per line."""

from typing import TYPE_CHECKING

from psa_core.runtime import logs
from psa_core.runtime.artifacts import write_lines

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]) as log:
    write_lines(snakemake.output[0], snakemake.params.names)
    log.info("%d names", len(snakemake.params.names))
