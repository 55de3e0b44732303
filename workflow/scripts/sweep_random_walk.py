"""One shard of images walked with every combination of settings, and compared with true masks."""

from typing import TYPE_CHECKING

from psa_core import logs, sweeps
from psa_core.artifacts import read_array, read_edges, write_table
from psa_core.compute import open_device
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, pattern = snakemake.params.settings, snakemake.params.maps
with logs.stage(snakemake.log[0], settings=settings):
    open_device("cpu", snakemake.threads)
    classes = read_classes(snakemake.params.classes)
    images = read_index(snakemake.params.index, snakemake.params.images)

    def read(row):
        maps, edges = read_array(pattern.format(row.image)), snakemake.input.edges
        indices = classes.indices(row.labels)
        return maps, read_edges(edges, row.image), indices, classes.read_mask(row.mask)

    rows = logs.progress(images.itertuples(), total=len(images), label="images")
    counts = sweeps.walk_counts(map(read, rows), len(classes.names), **settings)
    write_table(snakemake.output[0], counts)
