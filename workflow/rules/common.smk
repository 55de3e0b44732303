"""What all rules share: the checked configuration, the image lists, shards and file names."""

import hashlib
import json
import os
from collections import defaultdict

import yaml

from psa_core.config import ConfigError, complete
from psa_core.datasets import label_files, list_classes, list_images, list_scored, shard_of
from psa_core.datasets.scenes import CLASSES as SCENE_CLASSES

# A preset given by --configfile stands alone; defaults come from the schema.
if not workflow.config_settings.configfiles:

    configfile: workflow.source_path("../../config/config.yaml")


with open(workflow.source_path("../../config/schema.yaml")) as schema_file:
    config.update(complete(config, yaml.safe_load(schema_file)))

# Threads that wait for work should sleep: spinning slows the data loader on the same cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

IMAGES = list_images(config["dataset"])
SCORED = list_scored(config["dataset"])

for stage in ("cam", "affinity", "segmentation"):
    batch_size = config[stage]["training"]["batch_size"]
    is_trained = stage != "cam" or not config["cam"]["maps"]
    if is_trained and len(IMAGES["train_aug"]) < batch_size:
        raise ConfigError(
            f"{stage}.training.batch_size: {batch_size} is more than the "
            f"{len(IMAGES['train_aug'])} training images; lower it or add images"
        )


def by_shard(part, images):
    """Image names by shard, which is a function of the part and the image's name alone."""
    shards = defaultdict(list)
    for image in images:
        shards[shard_of(part, image, config["dataset"]["shards"])].append(image)
    return dict(sorted(shards.items()))


# Labels of val have shards of their own: they are made only when asked for (Table 5).
TRAIN_SHARDS = by_shard("train", IMAGES["train_aug"])
VAL_SHARDS = by_shard("val", IMAGES["val"])
SHARDS = {**TRAIN_SHARDS, **VAL_SHARDS}


def files(pattern, images):
    """A file for each image, for example files("results/cam/maps/{}.npy", images)."""
    return [pattern.format(image) for image in images]


def settings(**sections):
    """One parameter for all that a rule's result depends on.

    Snakemake compares parameters by their representation: keys are sorted, so that their order
    in a file reruns nothing, and all are in one dictionary, so that swapped values are noticed.
    """
    return json.loads(json.dumps(sections, sort_keys=True))


def digest(value):
    """A short name for a long value, for use as a parameter."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
