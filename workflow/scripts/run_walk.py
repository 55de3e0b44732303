"""The class maps of one shard of images, spread over their affinities."""

from typing import TYPE_CHECKING

import pandas as pd

from psa_core.datasets.index import read_images
from psa_core.method import maps
from psa_core.method.background import walk_with_background
from psa_core.runtime import artifacts, logs
from psa_core.runtime.compute import open_device

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, files = dict(snakemake.params.settings), snakemake.params
only = snakemake.wildcards.get("image")
with logs.stage(snakemake.log[0], reads=snakemake.input, only=only, settings=settings) as log:
    open_device("cpu", snakemake.threads)  # a walk takes milliseconds
    images = read_images(snakemake.input.images, only=only)
    exponents = {}
    for row in logs.progress(images, total=len(images), label="images"):
        edges = artifacts.read_edges(snakemake.input.edges, row.image)
        cells = artifacts.read_array(files.maps.format(row.image), len(row.classes))
        cells = maps.resize(cells, edges.shape[1:])
        scores, exponent = walk_with_background(cells, edges, **settings)
        if row.classes:
            exponents[row.image] = exponent
        artifacts.write_array(files.scores.format(row.image), scores)
        labels = maps.arg_max(scores, row.classes, (row.height, row.width))
        artifacts.write_label_map(files.labels.format(row.image), labels)
    table = pd.DataFrame(exponents.items(), columns=["image", "exponent"])
    counts = table["exponent"].value_counts().sort_index()
    log.info("images by exponent of the background: %s", counts.to_dict())
    if snakemake.output.get("exponents"):  # of a shard, not of a single image
        artifacts.write_table(snakemake.output.exponents, table)
    for output, pattern in (("manifest", files.scores), ("labels_manifest", files.labels)):
        artifacts.write_manifest(
            snakemake.output.get(output), pattern, [row.image for row in images]
        )
