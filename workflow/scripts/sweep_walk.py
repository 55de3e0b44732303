"""One shard of images walked with every combination of settings, and compared with true masks."""

from typing import TYPE_CHECKING

from psa_core.datasets.index import read_images
from psa_core.evaluation import sweeps
from psa_core.runtime import artifacts, logs
from psa_core.runtime.compute import open_device

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, files = snakemake.params.settings, snakemake.params
with logs.stage(snakemake.log[0], reads=snakemake.input, settings=settings):
    open_device("cpu", snakemake.threads)
    listed = artifacts.read_lines(snakemake.input.scored)
    images = read_images(snakemake.input.images, listed=listed)

    def read(row):
        maps = artifacts.read_array(files.maps.format(row.image), len(row.classes))
        edges = artifacts.read_edges(snakemake.input.edges, row.image)
        size = row.height, row.width
        mask = artifacts.read_label_map(files.masks.format(row.image), size)
        return maps, edges, row.classes, mask

    rows = logs.progress(images, total=len(images), label="images")
    classes = len(artifacts.read_lines(snakemake.input.classes))
    counts = sweeps.walk_counts(map(read, rows), classes, **settings)
    artifacts.write_table(snakemake.output[0], counts)
