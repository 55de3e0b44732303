"""The scores of every combination of the walk's settings, as a table and a figure."""

from typing import TYPE_CHECKING

import pandas as pd

from psa_core.evaluation import figures, sweeps
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_lines, write_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]) as log:
    names = read_lines(snakemake.input.classes)
    counts = [pd.read_csv(path) for path in snakemake.input.counts]
    table = sweeps.walk_table(counts, names, len(read_lines(snakemake.input.scored)))
    figures.save(snakemake.output.figure, figures.walk_sweep(table))
    write_table(snakemake.output.table, table)
    best = table.sort_values("miou", ascending=False).head()
    log.info("\n%s", best.to_string(index=False, float_format="%.1f"))
