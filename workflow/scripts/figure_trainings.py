"""The mean losses of each epoch of the trainings, as curves."""

from pathlib import Path
from typing import TYPE_CHECKING

from psa_core.evaluation import figures
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]):
    tables = {Path(path).parent.name: read_table(path) for path in snakemake.input}
    figures.save(snakemake.output[0], figures.trainings(tables))
