"""Class maps of another method for one shard of images, checked and normalised."""

from typing import TYPE_CHECKING

import numpy as np

from psa_core.datasets.foreign_maps import read_foreign
from psa_core.datasets.index import read_images
from psa_core.runtime import logs
from psa_core.runtime.artifacts import write_array, write_manifest

if TYPE_CHECKING:
    from snakemake.script import snakemake

foreign, pattern = snakemake.params.foreign, snakemake.params.maps
with logs.stage(snakemake.log[0], foreign=foreign):
    images = read_images(snakemake.input.images, only=snakemake.wildcards.get("image"))
    for row in logs.progress(images, total=len(images), label="images"):
        checked = np.zeros((0, 1, 1))  # of an image without classes
        if row.classes:
            checked = read_foreign(foreign.format(row.image), len(row.classes))
        write_array(pattern.format(row.image), checked)
    write_manifest(snakemake.output.get("manifest"), pattern, [row.image for row in images])
