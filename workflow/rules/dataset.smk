"""Data set. Needs the user's files; makes results/dataset/index.csv, checked, that all else reads.

With dataset.cache the trainings read results/dataset/cache.h5 in place of the image files.
"""

SCENES = "results/dataset/scenes"
# What the index depends on: not on whether its images are cached, nor on how jobs divide them.
DATASET = {k: value for k, value in config["dataset"].items() if k not in ("cache", "shards")}
CACHE = "results/dataset/cache.h5" if config["dataset"]["cache"] else []

# The greatest longest side that a training sees, in pixels; None where one takes any size.
SIDES = [config[stage]["training"]["longest_side"] for stage in ("cam", "affinity", "segmentation")]
CACHED_SIDE = max(high for _, high in SIDES) if all(SIDES) else None

if DATASET["format"] == "scenes":
    # Once drawn, the scenes are a VOC devkit like any other.
    DATASET = {**DATASET, "format": "voc", "root": SCENES, "classes": list(SCENE_CLASSES)}

    rule generate_scenes:
        """Draw the built-in data set."""
        output:
            directory(SCENES),
        log:
            "results/logs/generate_scenes.log",
        benchmark:
            "results/benchmarks/generate_scenes.tsv"
        params:
            settings=settings(scenes=config["dataset"]["scenes"], seed=config["seed"]),
            code=code_of("generate_scenes"),
        script:
            "../scripts/generate_scenes.py"


rule prepare_dataset:
    """Check every image, label and mask; write the index."""
    input:
        label_files(config["dataset"]) or SCENES,
    output:
        checked=CHECKED,
        # Not removed before they are made again: jobs of images that are as before may read them.
        index=update(INDEX),
        classes=update(CLASS_TABLE),
        contents=update(INDEXED),
    log:
        "results/logs/prepare_dataset.log",
    benchmark:
        "results/benchmarks/prepare_dataset.tsv"
    params:
        settings=settings(
            dataset=DATASET,
            lists=digest(IMAGES),
            scored=digest(SCORED),
            contents=digest(CONTENTS),
        ),
        cache=CONTENTS_CACHE,
        code=code_of("prepare_dataset"),
    script:
        "../scripts/prepare_dataset.py"


rule cache_images:
    """Decode the training images once, at the greatest size that a training needs."""
    input:
        dataset=index_of(IMAGES["train_aug"], "image"),
    output:
        "results/dataset/cache.h5",
    log:
        "results/logs/cache_images.log",
    benchmark:
        "results/benchmarks/cache_images.tsv"
    threads: 8
    params:
        longest_side=CACHED_SIDE,
        images=IMAGES["train_aug"],
        data=data_of(IMAGES["train_aug"], "image"),
        index=INDEX,
        code=code_of("cache_images"),
    script:
        "../scripts/cache_images.py"
