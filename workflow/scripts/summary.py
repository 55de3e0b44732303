"""What the data set holds, and whether its masks show what the labels say."""

from typing import TYPE_CHECKING

from psa_core.datasets.index import read_images
from psa_core.datasets.summary import SUSPICIONS_SHOWN, summarise
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_lines, read_table, write_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]) as log:
    images = {part: read_images(snakemake.input[part]) for part in ("train_aug", "val")}
    masks = {}
    for path in snakemake.input.masks:
        table = read_table(path).astype(str)
        for image, values in zip(table["image"], table["values"], strict=True):
            masks[image] = [int(value) for value in values.split(";")]
    names = read_lines(snakemake.input.classes)
    table, suspicions = summarise(images, masks, names, snakemake.params.doubts)
    write_table(snakemake.output[0], table)
    log.info("\n%s", table.to_string(index=False))
    for fact in suspicions[:SUSPICIONS_SHOWN]:
        log.warning("suspicious: %s", fact)
