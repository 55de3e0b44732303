"""Affinity labels. Needs class maps; makes results/affinity_labels/{image}.png."""

TRUE_MASKS = config["affinity_labels"]["true_masks"]
CORRECTED_TEACH = config["affinity_labels"]["corrections"]


rule make_affinity_labels:
    """Confident areas of one shard of images, by eq. 2 and the dense CRF (section 3.2)."""
    input:
        images=of_shard("results/dataset/images/{}.csv"),
        classes=CLASSES,
        maps=of_images("results/cam/maps/{}.npy"),
        masks=of_images(MASKS, only=DATA.scored["train_aug"]) if TRUE_MASKS else [],
        corrections=CORRECTIONS if DATA.corrections and CORRECTED_TEACH else [],
        shard=own_shard("results/affinity_labels/{}.txt"),
    output:
        manifest="results/affinity_labels/{shard}.txt",
    log:
        "results/logs/make_affinity_labels/{shard}.log",
    benchmark:
        "results/benchmarks/make_affinity_labels/{shard}.tsv"
    threads: 8
    params:
        settings=settings(**config["affinity_labels"], longest_side=config["longest_side"]),
        maps="results/cam/maps/{}.npy",
        masks=MASKS,
        labels="results/affinity_labels/{}.png",
        # Snakemake ignores a table that is no longer an input.
        corrected=list(DATA.corrections) if CORRECTED_TEACH else [],
        code=code_of("make_affinity_labels"),
    script:
        "../scripts/make_affinity_labels.py"


use rule make_affinity_labels as make_affinity_labels_of_image with:
    output:
        update("results/affinity_labels/{image}.png"),
    log:
        "results/logs/make_affinity_labels/{image}.log",
    benchmark:
        "results/benchmarks/make_affinity_labels/{image}.tsv"
    priority: 1
    threads: 1
