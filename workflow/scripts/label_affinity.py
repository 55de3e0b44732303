"""Confident areas of one shard of images."""

from typing import TYPE_CHECKING

from psa_core import logs
from psa_core.affinity_labels import affinity_labels, with_true_mask
from psa_core.artifacts import by_image, read_array, write_label_map
from psa_core.datasets.index import read_classes, read_image, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = dict(snakemake.params.settings)
with logs.stage(snakemake.log[0], settings=settings):
    classes = read_classes(snakemake.input.classes)
    listed = classes.indices(";".join(settings.pop("true_masks")))
    index = read_index(snakemake.input.index).set_index("image")
    maps, outputs = by_image(snakemake.input.maps), by_image(snakemake.output.labels)
    for image, path in logs.progress(outputs.items(), total=len(outputs), label="images"):
        labels = affinity_labels(
            read_image(index.path[image]),
            read_array(maps[image]),
            classes.indices(index.labels[image]),
            **settings,
        )
        if listed and index["mask"][image]:
            labels = with_true_mask(labels, classes.read_mask(index["mask"][image]), listed)
        write_label_map(path, labels)
