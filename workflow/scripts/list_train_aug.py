"""The list of training images, and the number of images in each list checked."""

from pathlib import Path
from typing import TYPE_CHECKING

from psa_core.datasets.convert.sbd import check_counts, training_images
from psa_core.runtime import logs
from psa_core.runtime.artifacts import write_lines

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]) as log:
    lists = {key: Path(path).read_text().split() for key, path in snakemake.input.items()}
    train_aug = training_images(lists["trainval"], lists["val"], lists["sbd"])
    check_counts({**lists, "train_aug": train_aug}, snakemake.params.counts)
    write_lines(snakemake.output[0], train_aug)
    log.info(
        "train_aug %d, train %d, val %d", len(train_aug), len(lists["train"]), len(lists["val"])
    )
