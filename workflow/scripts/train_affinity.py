"""AffinityNet, trained on pairs of cells in the confident areas."""

from typing import TYPE_CHECKING

from psa_core import affinity, logs, training
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = snakemake.params.settings
with logs.stage(snakemake.log[0], settings=settings):
    classes = read_classes(snakemake.params.classes)
    images = read_index(snakemake.params.index, snakemake.params.images)
    training.train(
        "affinity",
        affinity.losses,
        images["path"],
        [snakemake.params.labels.format(image) for image in images["image"]],
        loss_settings=settings["pairs"],
        classes=len(classes.names),
        network=settings["network"],
        training=settings["training"],
        seed=settings["seed"],
        digests=[snakemake.params.code, snakemake.params.data],
        checkpoints=snakemake.params.checkpoints,
        output=snakemake.output.network,
        losses_output=snakemake.output.losses,
        device=snakemake.config["device"],
        devices=snakemake.config["devices"],
        threads=snakemake.threads,
        cache=snakemake.input.cache or None,
        launcher=snakemake.resources.get("mpi"),
        nodes=snakemake.resources.get("nodes", 1),
    )
