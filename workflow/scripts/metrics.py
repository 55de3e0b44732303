"""The scores of all stages in one table."""

from typing import TYPE_CHECKING

import pandas as pd

from psa_core.evaluation.metrics import COLUMNS
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_table, write_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]) as log:
    tables = [read_table(path) for path in snakemake.input.scores]
    table = pd.concat(tables) if tables else pd.DataFrame(columns=COLUMNS)
    write_table(snakemake.output[0], table)
    log.info("\n%s", table[table["class"] == "mean"].to_string(index=False))
