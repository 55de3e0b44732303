"""What all rules share: the checked configuration, the image lists, shards and file names.

Thousands of files on one job cost Snakemake minutes. So each stage that makes one file per image has
two rules. One makes a whole *shard* of images and declares only their manifest, `{shard}.txt`, on
which the next stages wait. The other makes the file of one image: the one that is asked for by
name, or has been deleted. It updates the file, so that a shard's job that reads it never misses it.
"""

import functools
import hashlib
import json
import os
import signal
from pathlib import Path

import yaml

from psa_core.config import NO_FILES, ConfigError, complete
from psa_core.datasets import (
    Files,
    digests,
    label_files,
    read_contents,
    read_indexed,
    read_lists,
    shards_of,
)
from psa_core.datasets.scenes import CLASSES as SCENE_CLASSES
from psa_core.provenance import code_digest

# A preset given by --configfile stands alone; defaults come from the schema.
if not workflow.config_settings.configfiles:

    configfile: workflow.source_path("../../config/config.yaml")


with open(workflow.source_path("../../config/schema.yaml")) as schema_file:
    config.update(complete(config, yaml.safe_load(schema_file)))

# Threads that wait for work should sleep: spinning slows the data loader on the same cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# SLURM may warn by it before the time limit: trainings save their state, nothing else minds.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)

IMAGES, SCORED, CLASSES, FILES = read_lists(config["dataset"])
CONTENTS_CACHE = ".snakemake/contents.json"
CONTENTS = read_contents(FILES, CONTENTS_CACHE)
INDEX = "results/dataset/index.csv"
CLASS_TABLE = "results/dataset/classes.csv"
# Made with the index, and gone where the last check of the data set failed and left the old index.
CHECKED = "results/dataset/checked.txt"

# What the index was made of: see index_of.
INDEXED = "results/dataset/contents.json"
INDEXED_CLASSES, INDEXED_IMAGES = read_indexed(INDEXED) if FILES else ((None, None), {})

for stage in ("cam", "affinity", "segmentation"):
    batch_size = config[stage]["training"]["batch_size"]
    is_trained = config[stage]["train"] and not (stage == "cam" and config["cam"]["maps"])
    if is_trained and len(IMAGES["train_aug"]) < batch_size:
        raise ConfigError(
            f"{stage}.training.batch_size: {batch_size} is more than the "
            f"{len(IMAGES['train_aug'])} training images; lower it or add images"
        )
    if is_trained and batch_size % config["devices"]:
        raise ConfigError(
            f"devices: {config['devices']} cannot share {stage}.training.batch_size, {batch_size}, "
            "equally; set one of them to a divisor of the other"
        )

SHARDS = shards_of(IMAGES, config["dataset"]["shards"])
# An image of val may be in test too; its files by name are then those of val, which comes last.
SHARD_OF = {image: shard for shard, images in SHARDS.items() for image in images}


wildcard_constraints:
    shard=r"(train_aug|val|test)_\d+",
    image=r"[^/]+",


def shards(part):
    """Names of the shards of a part of the data set: train_aug, val or test."""
    return [shard for shard in SHARDS if shard.startswith(f"{part}_")]


def threads_beside(jobs):
    """Threads of a job of which there are so many: they share the cores, 8 each at most.

    On a cluster, where there is no number of cores, each job has 8 of its own.
    """
    cores = workflow.resource_settings.cores
    if cores is None or workflow.remote_exec:
        return 8
    return min(8, max(1, cores // jobs))


def images_of_job(wildcards):
    """Images of a job: those of its shard, or the one that was asked for."""
    if "shard" in wildcards.keys():
        return SHARDS[wildcards.shard]
    if wildcards.image not in SHARD_OF:
        raise ValueError(f"no image '{wildcards.image}' in the lists of the data set")
    return [wildcards.image]


def images_of_job_in(listed):
    """Like images_of_job, but only those listed: the ones with a mask."""
    listed = set(listed)

    def images(wildcards):
        if "image" in wildcards.keys() and wildcards.image not in listed:
            raise ValueError(f"image '{wildcards.image}' has no mask, or is not in the list scored")
        return [image for image in images_of_job(wildcards) if image in listed]

    return images


def of_shard(pattern):
    """An input function: a file of the job's shard, for example "results/affinity/edges/{}.h5"."""

    def file(wildcards):
        if "shard" in wildcards.keys():
            return pattern.format(wildcards.shard)
        if wildcards.image not in SHARD_OF:
            raise ValueError(f"no image '{wildcards.image}' in the lists of the data set")
        return pattern.format(SHARD_OF[wildcards.image])

    return file


def of_images(pattern):
    """An input function: what a stage made of the job's images, "results/cam/maps/{}.npy".

    One image's file may be made anew with its shard: its manifest, if there is one, is waited for.
    """
    folder = str(Path(pattern).parent)

    def files(wildcards):
        if "shard" in wildcards.keys():
            return files_of_shards(folder, [wildcards.shard])
        manifest = f"{folder}/{SHARD_OF.get(wildcards.image)}.txt"
        present = [manifest] if Path(manifest).exists() else []
        return [pattern.format(wildcards.image), *present]

    return files


def files_of_shards(folder, names):
    """What a stage made of shards of images: the manifests, and the listed files that are gone.

    A file that was deleted after its manifest was written is made again alone.
    """
    present = names_in(folder)
    manifests = {name: f"{folder}/{name}.txt" for name in names}
    listed = (
        line.split()[-1]
        for name, manifest in manifests.items()
        if f"{name}.txt" in present
        for line in Path(manifest).read_text().splitlines()
    )
    gone = [file for file in listed if file not in present and Path(file).stem in SHARD_OF]
    return [*manifests.values(), *(f"{folder}/{file}" for file in gone)]


def shards_with(images):
    """Names of the shards that hold these images."""
    return sorted({SHARD_OF[image] for image in images})


def foreign_maps(folder):
    """An input function: another method's maps of the job's images, those that are there.

    A missing map of a val image is the job's to report: were it an input, Snakemake would take
    the image's maps of an earlier run.
    """
    present = names_in(folder)
    return lambda wildcards: [
        f"{folder}/{image}.npy" for image in images_of_job(wildcards) if f"{image}.npy" in present
    ]


@functools.cache
def names_in(folder):
    """Names of the files in a folder, none where it does not exist."""
    return set(os.listdir(folder)) if os.path.isdir(folder) else set()


def manifest_of_image(folder, shard_of=SHARD_OF):
    """An input function where one image is asked for: the manifest of its shard, if there is one.

    Snakemake knows no settings of a file that was made with its shard; where that shard is out of
    date it is made again as a whole. Ancient, so that its files are not then made again alone.
    """

    def file(wildcards):
        path = f"{folder.format(**wildcards)}/{shard_of.get(wildcards.image)}.txt"
        return ancient(path) if Path(path).exists() else []

    return file


def weights_of(stage):
    """The file of weights that the network of a stage starts with, if any, as a list.

    Its contents are among the rule's parameters (data_of), so its time does not count.
    """
    weights = config[stage]["network"]["weights"]
    return [] if weights in NO_FILES else [ancient(weights)]


def settings(**sections):
    """One parameter for all that a rule's result depends on.

    Snakemake compares parameters by their representation: keys are sorted, so that their order
    in a file reruns nothing, and all are in one dictionary, so that swapped values are noticed.
    """
    return json.loads(json.dumps(sections, sort_keys=True))


def data_of(images, *facts, files=()):
    """A parameter that changes with what a job reads of these images, and with the classes.

    facts: image, labels, mask. images, files: a list, or a function of the wildcards that gives
    one. files: others that are the user's, not made by a rule.
    """
    if callable(images):
        return lambda wildcards: data_of(
            images(wildcards), *facts, files=files(wildcards) if callable(files) else files
        )
    others = config["dataset"]["others"] if "mask" in facts else None
    known = facts_of(CONTENTS, images, facts)
    return digest([images, CLASSES, others, SCENES_MADE_BY, known, contents_of(files)])


def contents_of(files):
    """The files of a list with the digest of each."""
    return digests(files, CONTENTS_CACHE) if files else {}


def index_of(images, *facts):
    """An input function beside data_of: the index, if it has to be made again for this job.

    Snakemake reruns all that stands behind a job that runs. So only those jobs stand behind that
    of the index whose rows in it are new; the others find theirs in the old one as well.
    """

    def index(wildcards):
        listed = images(wildcards) if callable(images) else images
        classes, others = INDEXED_CLASSES
        is_known = (
            classes == list(CLASSES)
            and (others == config["dataset"]["others"] or "mask" not in facts)
            and facts_of(INDEXED_IMAGES, listed, facts) == facts_of(CONTENTS, listed, facts)
            and Path(INDEX).exists()
            and Path(CLASS_TABLE).exists()
        )
        return [] if is_known else [CHECKED, INDEX, CLASS_TABLE]

    return index


def facts_of(contents, images, facts):
    """What is known of these images, in their order, as lists."""
    positions = [Files._fields.index(fact) for fact in facts]
    return [[list(contents[i])[p] for p in positions] if i in contents else None for i in images]


def code_of(script):
    """A parameter that changes with the code of a script, and of what it imports of psa_core."""
    return code_digest(Path(workflow.basedir, "workflow/scripts", f"{script}.py"))


def digest(value):
    """A short name for a long value, for use as a parameter."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


# The built-in scenes are results: a checkpoint of a training on them must not outlive them.
SCENES_MADE_BY = (
    None
    if FILES
    else settings(
        scenes=config["dataset"]["scenes"],
        seed=config["seed"],
        drawn_by=code_of("generate_scenes"),
    )
)
