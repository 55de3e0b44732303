"""One of the three networks, trained on images and their labels or label maps."""

import importlib
from typing import TYPE_CHECKING

from psa_core.datasets.index import check_classes, read_images
from psa_core.runtime import logs
from psa_core.runtime.artifacts import listed_images, read_lines
from psa_core.training.loop import Examples, Machine, Outputs, train

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, files = snakemake.params.settings, snakemake.params
dataset = snakemake.config["dataset"]
method = importlib.import_module(f"psa_core.method.{files.stage}")  # as in the rule's `code`
with logs.stage(snakemake.log[0], settings=settings):
    names = read_lines(snakemake.input.classes)
    if files.get("labels"):
        images = read_images(snakemake.input.images, listed=listed_images(snakemake.input.labels))
        targets = [files.labels.format(row.image) for row in images]
    else:
        images = read_images(snakemake.input.images)
        if not dataset["limit"]:  # a quick try may lack a class
            check_classes(images, names)
        targets = method.label_vectors([row.classes for row in images], len(names))
    train(
        files.stage,
        method.losses,
        Examples(images, targets, names, dataset["root"], snakemake.input.cache or None),
        {**settings, "code": files.code},
        Machine(
            device=snakemake.config["device"],
            devices=snakemake.config["devices"],
            threads=snakemake.threads,
            launcher=snakemake.resources.get("mpi"),
            nodes=snakemake.resources.get("nodes", 1),
        ),
        Outputs(snakemake.output.network, snakemake.output.losses, files.checkpoints),
    )
