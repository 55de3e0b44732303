"""Pictures of one shard of images and their pseudo labels, for the review page."""

from pathlib import Path
from typing import TYPE_CHECKING

from psa_core.datasets.index import read_images
from psa_core.delivery.review.pictures import write_pictures
from psa_core.runtime import logs, parallel
from psa_core.runtime.artifacts import read_label_map, write_manifest

if TYPE_CHECKING:
    from snakemake.script import snakemake

files, folder = snakemake.params, Path(snakemake.output.manifest).parents[1]
with logs.stage(snakemake.log[0], reads=snakemake.input):
    images = read_images(snakemake.input.images)

    def draw(row):
        labels = read_label_map(files.labels.format(row.image))
        write_pictures(folder, row.image, row.read(), labels)

    results = parallel.in_processes(draw, images, processes=snakemake.threads)
    for _ in logs.progress(results, total=len(images), label="images"):
        pass
    write_manifest(snakemake.output.manifest, files.drawn, [row.image for row in images])
