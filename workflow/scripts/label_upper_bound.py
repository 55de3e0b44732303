"""True masks of one shard of images as class indices."""

from typing import TYPE_CHECKING

from psa_core import logs
from psa_core.artifacts import by_image, write_label_map
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]):
    classes = read_classes(snakemake.input.classes)
    masks = read_index(snakemake.input.index).set_index("image")["mask"]
    for image, path in by_image(snakemake.output.labels).items():
        write_label_map(path, classes.read_mask(masks[image]))
