"""Masks of images in the format of another tool."""

from pathlib import Path
from typing import TYPE_CHECKING

from psa_core.datasets.corrections import find_labels
from psa_core.datasets.index import read_images
from psa_core.delivery.exports import write
from psa_core.delivery.exports.parts import masked_images
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_lines

if TYPE_CHECKING:
    from snakemake.script import snakemake

pattern = snakemake.params.masks[snakemake.wildcards.masks]
with logs.stage(snakemake.log[0], reads=snakemake.input):
    rows = read_images(snakemake.input.images)
    listed = {row.image for row in rows}.difference(snakemake.params.rejected)
    rows, paths = find_labels(rows, listed, pattern, snakemake.input.get("corrections"))
    images = logs.progress(masked_images(rows, paths), total=len(rows), label="images")
    output = snakemake.output[0]
    write(Path(output).stem, output, images, read_lines(snakemake.input.classes))
