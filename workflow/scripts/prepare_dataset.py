"""The index of the data set: every image, label and mask checked."""

from typing import TYPE_CHECKING

from psa_core import logs
from psa_core.artifacts import write_table
from psa_core.datasets.index import prepare

if TYPE_CHECKING:
    from snakemake.script import snakemake

dataset = snakemake.params.settings["dataset"]
with logs.stage(snakemake.log[0], dataset=dataset) as log:
    index, classes = prepare(dataset, progress=logs.counter("images"))
    write_table(snakemake.output.classes, classes)
    write_table(snakemake.output.index, index)
    log.info("%d images", len(index))
