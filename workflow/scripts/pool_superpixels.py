"""Class maps of one shard of images pooled over superpixels."""

from typing import TYPE_CHECKING

from psa_core import logs
from psa_core.artifacts import by_image, read_array, write_label_map
from psa_core.datasets.index import read_classes, read_image, read_index
from psa_core.superpixels import superpixel_labels

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = snakemake.params.settings
with logs.stage(snakemake.log[0], settings=settings):
    classes = read_classes(snakemake.input.classes)
    index = read_index(snakemake.input.index).set_index("image")
    maps, outputs = by_image(snakemake.input.maps), by_image(snakemake.output.labels)
    for image, path in logs.progress(outputs.items(), total=len(outputs), label="images"):
        labels = superpixel_labels(
            read_image(index.path[image]),
            read_array(maps[image]),
            classes.indices(index.labels[image]),
            **settings,
        )
        write_label_map(path, labels)
