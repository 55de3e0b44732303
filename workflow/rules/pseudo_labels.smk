"""Pseudo labels. Needs walk scores and images; makes results/pseudo_labels/{image}.png.

It also checks them, which needs no masks: {shard}.csv, and check.csv of all training images.
"""

from psa_core.datasets.formats.segments import find_segments

CHECK = "results/pseudo_labels/check.csv"
SEGMENTS = config["pseudo_labels"]["segments"]
CHECKS = [f"results/pseudo_labels/{shard}.csv" for shard in DATA.shards("train_aug")]


rule make_pseudo_labels:
    """Pseudo labels of one shard: dense CRF, then arg max (paper, section 3.3)."""
    input:
        images=of_shard("results/dataset/images/{}.csv"),
        scores=of_images("results/walk/scores/{}.npy"),
        shard=own_shard("results/pseudo_labels/{}.txt"),
    output:
        manifest="results/pseudo_labels/{shard}.txt",
        check="results/pseudo_labels/{shard}.csv",
    log:
        "results/logs/make_pseudo_labels/{shard}.log",
    benchmark:
        "results/benchmarks/make_pseudo_labels/{shard}.tsv"
    threads: 8
    params:
        settings=settings(**config["pseudo_labels"], longest_side=config["longest_side"]),
        segments=lambda w: contents_of(
            find_segments(SEGMENTS, i) for i in DATA.images_of(shard_of_job(w)) if SEGMENTS
        ),
        scores="results/walk/scores/{}.npy",
        labels="results/pseudo_labels/{}.png",
        code=code_of("make_pseudo_labels"),
    script:
        "../scripts/make_pseudo_labels.py"


use rule make_pseudo_labels as make_pseudo_labels_of_image with:
    output:
        update("results/pseudo_labels/{image}.png"),
    log:
        "results/logs/make_pseudo_labels/{image}.log",
    benchmark:
        "results/benchmarks/make_pseudo_labels/{image}.tsv"
    priority: 1
    threads: 1


rule check_labels:
    """The check of the pseudo labels of all training images in one table."""
    input:
        CHECKS,
    output:
        report(CHECK, caption="../report/check.rst", category="Pictures"),
    log:
        "results/logs/check_labels.log",
    priority: 1  # before the segmentation model is trained
    localrule: True
    params:
        code=code_of("check_labels"),
    script:
        "../scripts/check_labels.py"
