"""SBD's masks as PNG, and the list of its images."""

from typing import TYPE_CHECKING

from psa_core.datasets.convert.sbd import convert
from psa_core.runtime import logs
from psa_core.runtime.artifacts import write_lines

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]) as log:
    images = convert(snakemake.input.archive, snakemake.config["root"])
    write_lines(snakemake.output[0], images)
    log.info("%d images", len(images))
