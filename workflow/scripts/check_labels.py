"""The check of the pseudo labels of all training images in one table."""

from typing import TYPE_CHECKING

from psa_core.evaluation.label_warning import read_checks, warning
from psa_core.runtime import logs
from psa_core.runtime.artifacts import write_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]) as log:
    checks = read_checks(snakemake.input)
    write_table(snakemake.output[0], checks)
    if text := warning(checks):
        log.warning("%s", text)
