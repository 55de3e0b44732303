"""Data set. Needs the user's files; makes checked tables and masks that all stages read.

With dataset.cache the trainings read results/dataset/cache.h5 in place of the image files.
"""

CACHE = "results/dataset/cache.h5" if config["dataset"]["cache"] else []
CORRECTIONS, CORRECTED = "results/dataset/corrections.csv", "results/dataset/corrections/{}.png"
# The table of scores waits for it; ancient, as its counts change no score.
SUMMARY = "results/dataset/summary.csv"
# Lists known to the plan, written to files so that a rule depends on one list only.
LISTED = {"classes": list(DATA.classes)}
LISTED |= {f"scored_{split}": DATA.scored[split] for split in ("train", "val")}


rule list_names:
    """The class names in the order of their indices, or the images that a split is scored on."""
    output:
        "results/dataset/{list}.txt",
    log:
        "results/logs/list_names/{list}.log",
    wildcard_constraints:
        list="|".join(LISTED),
    priority: 1
    localrule: True
    params:
        names=lambda w: LISTED[w.list],
        code=code_of("list_names"),
    script:
        "../scripts/list_names.py"


rule index_images:
    """Decode, check and describe the images of one shard, with their labels."""
    output:
        "results/dataset/images/{shard}.csv",
    log:
        "results/logs/index_images/{shard}.log",
    benchmark:
        "results/benchmarks/index_images/{shard}.tsv"
    priority: 1  # damaged files are found before hours of work
    params:
        images=lambda w: DATA.images_of(w.shard),
        contents=lambda w: DATA.digest(w.shard, "images"),
        code=code_of("index_images"),
    script:
        "../scripts/index_images.py"


rule index_masks:
    """Check the true masks of one shard and write them as class indices."""
    input:
        shard=own_shard("results/dataset/masks/{}.txt"),
    output:
        manifest="results/dataset/masks/{shard}.txt",
        values="results/dataset/masks/{shard}.csv",
    log:
        "results/logs/index_masks/{shard}.log",
    benchmark:
        "results/benchmarks/index_masks/{shard}.tsv"
    priority: 1
    params:
        images=lambda w: DATA.masked_of(shard_of_job(w)),
        contents=lambda w: DATA.digest(shard_of_job(w), "masks"),
        masks=MASKS,
        code=code_of("index_masks"),
    script:
        "../scripts/index_masks.py"


use rule index_masks as index_masks_of_image with:
    output:
        update("results/dataset/masks/{image}.png"),
    log:
        "results/logs/index_masks/{image}.log",
    benchmark:
        "results/benchmarks/index_masks/{image}.tsv"
    priority: 1


rule index_corrections:
    """Check the corrected masks, which the segmentation model learns from in place of the labels."""
    input:
        images=tables("train_aug"),
        classes=CLASSES,
        deleted=deleted_corrections(CORRECTIONS, CORRECTED),
    output:
        CORRECTIONS,
    log:
        "results/logs/index_corrections.log",
    benchmark:
        "results/benchmarks/index_corrections.tsv"
    priority: 1
    params:
        corrections=DATA.corrections,
        coding=DATA.correction_coding,
        masks=CORRECTED,
        contents=lambda w: DIGESTS.of(DATA.corrections.values()),
        code=code_of("index_corrections"),
    script:
        "../scripts/index_corrections.py"


rule summary:
    """Count images and classes, and compare the masks with the image-level labels."""
    input:
        train_aug=tables("train_aug"),
        val=tables("val"),
        masks=[
            f"results/dataset/masks/{shard}.csv"
            for part in ("train_aug", "val")
            if DATA.scored[part]
            for shard in DATA.shards(part)
        ],
        classes=CLASSES,
    output:
        SUMMARY,
    log:
        "results/logs/summary.log",
    priority: 1  # before the trainings
    localrule: True
    params:
        shards=DATA.shards("train_aug", "val"),  # Snakemake ignores a table that is gone
        doubts=DATA.doubts,
        code=code_of("summary"),
    script:
        "../scripts/summary.py"


rule cache_images:
    """Decode the training images once, at the greatest size that a training needs."""
    input:
        images=tables("train_aug"),
    output:
        "results/dataset/cache.h5",
    log:
        "results/logs/cache_images.log",
    benchmark:
        "results/benchmarks/cache_images.tsv"
    threads: 8
    params:
        longest_side=cached_side(config),
        shards=DATA.shards("train_aug"),
        code=code_of("cache_images"),
    script:
        "../scripts/cache_images.py"
