"""What all rules share: names of files, settings, digests of code.

Snakemake is slow to plan a job with thousands of outputs. So a stage that makes one file per image has two
rules: one makes a whole *shard* of images and declares its manifest, `{shard}.txt`, alone, which the
next stages wait for; the other makes the file of one image that is asked for or was deleted. A pattern
like results/cam/maps/{}.npy among the params of a rule names the files that the manifest lists.
"""

import json
import os
from pathlib import Path

from psa_core.runtime.config import cached_side
from psa_core.runtime.provenance import code_digest
from psa_core.runtime.stages import STAGES, file_of_weights, steps_of, trained_stages

CLASSES, MASKS = "results/dataset/classes.txt", "results/dataset/masks/{}.png"
NETWORK_OF_MAPS = (
    "results/cam/prototypes.safetensors"
    if config["cam"]["prototypes"]["rounds"]
    else "results/cam/network.safetensors"
)


wildcard_constraints:
    shard=r"(train_aug|val|test)_\d+",
    image=r"[^/]+",


def shard_of_job(wildcards, part=None):
    """The shard of a job, or that of the image that was asked for."""
    with one_message():
        return wildcards.get("shard") or DATA.shard_of(wildcards.image, part)


def of_shard(pattern, part=None):
    """An input function: a file of the job's shard, "results/affinity/edges/{}.h5"."""
    return lambda wildcards: pattern.format(shard_of_job(wildcards, part))


def own_shard(pattern, part=None):
    """An input function: the manifest of an image's shard; nothing for the job of a shard.

    Ancient, since Snakemake gives a manifest a later time than its files have.
    """
    return lambda wildcards: (
        ancient(pattern.format(shard_of_job(wildcards, part), **wildcards))
        if "image" in wildcards.keys()
        else []
    )


def of_images(pattern, only=None):
    """An input function: what a stage made of the job's images, or of those `only` of them."""

    def files(wildcards):
        asked = [wildcards.image] if "image" in wildcards.keys() else []
        images = [pattern.format(image) for image in asked if only is None or image in only]
        return images + of_shards(pattern, [shard_of_job(wildcards)])

    return files


def of_shards(pattern, shards):
    """The manifests of these shards; they stand for the files of the images."""
    return [str(Path(pattern).with_name(f"{shard}.txt")) for shard in shards]


def deleted(pattern, part):
    """A stage's files that were deleted, and the folder they were in; empty if none is missing.

    The deletion leaves the folder newer than the results, so a job that reads both runs again. Other
    jobs must not depend on the files, or they would rerun as well: a priority puts the files first.
    """
    files = DATA.deleted(pattern, DATA.shards(part))
    return [*files, str(Path(pattern).parent)] if files else []


def deleted_corrections(table, pattern):
    """The folder of the corrected masks if one was deleted; it is then newer than their table."""
    folder = Path(pattern).parent
    if not os.path.exists(table):
        return []
    if not folder.is_dir():
        return [str(folder.parent)] if DATA.corrections else []
    wanted = {Path(pattern.format(image)).name for image in DATA.corrections}
    return [str(folder)] if wanted - set(os.listdir(folder)) else []


def tables(*parts):
    """The tables of all images of parts of the data set."""
    return [f"results/dataset/images/{shard}.csv" for shard in DATA.shards(*parts)]


def contents_of(files):
    """A parameter that changes with the contents of files."""
    with one_message():
        return DIGESTS.of(files)


def settings(**sections):
    """One parameter for all that a rule's result depends on.

    Snakemake compares parameters by their representation: keys are sorted, so that their order in
    a file reruns nothing, and all are in one dictionary, so that swapped values are noticed.
    """
    return json.loads(json.dumps(sections, sort_keys=True))


def code_of(script, *modules):
    """A parameter that changes with the code of a script, and of what it imports of psa_core."""
    return code_digest(workflow.source_path(f"../scripts/{script}.py"), *modules)
