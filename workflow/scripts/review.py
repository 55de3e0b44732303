"""The page to look at all pseudo labels and to decide about them."""

from pathlib import Path
from typing import TYPE_CHECKING

from psa_core.datasets.index import read_images
from psa_core.delivery.review.page import write_page
from psa_core.evaluation.label_warning import read_checks
from psa_core.runtime import logs
from psa_core.runtime.artifacts import read_digests, read_lines

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0], reads=snakemake.input) as log:
    images = read_images(snakemake.input.images)
    write_page(
        snakemake.output[0],
        images,
        read_checks(snakemake.input.checks),
        read_lines(snakemake.input.classes),
        labels=read_digests(snakemake.input.labels),
        **snakemake.params.settings,
    )
    log.info("%d images: open %s in a browser", len(images), Path(snakemake.output[0]).resolve())
