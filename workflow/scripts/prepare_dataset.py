"""The index of the data set: every image, label and mask checked."""

import json
from typing import TYPE_CHECKING

from psa_core import logs
from psa_core.artifacts import write_lines, write_table
from psa_core.datasets import read_contents, read_lists
from psa_core.datasets.index import prepare

if TYPE_CHECKING:
    from snakemake.script import snakemake

dataset = snakemake.params.settings["dataset"]
with logs.stage(snakemake.log[0], dataset=dataset) as log:
    lists = read_lists(dataset)
    contents = read_contents(lists.files, snakemake.params.cache)
    index, classes = prepare(dataset, progress=logs.counter("images"))
    write_table(snakemake.output.classes, classes)
    write_table(snakemake.output.index, index)
    known = [[lists.classes, dataset["others"]], contents]
    write_lines(snakemake.output.contents, [json.dumps(known)])
    write_lines(snakemake.output.checked, [snakemake.params.settings["contents"]])
    log.info("%d images", len(index))
