"""One of the three networks, trained on images and their labels or label maps."""

import importlib
from typing import TYPE_CHECKING

from psa_core.datasets.corrections import find_labels
from psa_core.datasets.index import check_classes, read_images
from psa_core.networks.trial import check_networks
from psa_core.runtime import logs, space
from psa_core.runtime.artifacts import listed_images, read_lines
from psa_core.runtime.stages import trained_stages
from psa_core.training.loop import Examples, Machine, Outputs, train

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, files, inputs = snakemake.params.settings, snakemake.params, snakemake.input
dataset, resources = snakemake.config["dataset"], snakemake.resources
slurm = resources.get("mpi"), resources.get("nodes", 1)
method = importlib.import_module(f"psa_core.method.{files.stage}")  # as in the rule's `code`
with logs.stage(snakemake.log[0], reads=snakemake.input, settings=settings):
    names, images = read_lines(inputs.classes), read_images(inputs.images)
    if files.get("labels"):
        listed = listed_images(inputs.labels).difference(files.get("rejected", []))
        images, targets = find_labels(images, listed, files.labels, inputs.get("corrections"))
    else:
        if not dataset["limit"]:  # a quick try may lack a class
            check_classes(images, names)
        targets = method.label_vectors([row.classes for row in images], len(names))
    if files.stage == trained_stages(snakemake.config)[0]:  # before hours go into it
        check_networks(snakemake.config, images=len(images))
        space.warn_if_short(images, snakemake.config["longest_side"], "results")
    train(
        files.stage,
        method.losses,
        Examples(images, targets, names, dataset["root"], inputs.cache or None),
        {**settings, "code": files.code},
        Machine(snakemake.config["device"], snakemake.config["devices"], snakemake.threads, *slurm),
        Outputs(snakemake.output.network, snakemake.output.losses, files.checkpoints),
    )
