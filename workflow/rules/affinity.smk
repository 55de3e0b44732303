"""Affinities. Needs class maps; makes results/affinity/labels/, network.pt and edges/."""

if config["affinity"]["true_masks"]:
    if unknown := sorted(set(config["affinity"]["true_masks"]) - set(CLASSES)):
        raise ConfigError(
            f"affinity.true_masks: {unknown} are not classes; choose from {', '.join(CLASSES)}"
        )
    if not SCORED["train_aug"]:
        raise ConfigError("affinity.true_masks: no training image has a mask; add masks or say []")


rule label_affinity:
    """Confident areas of one shard of images, by eq. 2 and the dense CRF (section 3.2)."""
    input:
        dataset=index_of(
            images_of_job, "image", "labels", *["mask"] * bool(config["affinity"]["true_masks"])
        ),
        maps=of_images("results/cam/maps/{}.npy"),
    output:
        manifest="results/affinity/labels/{shard}.txt",
    log:
        "results/logs/label_affinity/{shard}.log",
    benchmark:
        "results/benchmarks/label_affinity/{shard}.tsv"
    threads: threads_beside(len(shards("train_aug")))
    params:
        settings=settings(
            **config["affinity"]["labels"], true_masks=config["affinity"]["true_masks"]
        ),
        images=images_of_job,
        data=data_of(
            images_of_job, "image", "labels", *["mask"] * bool(config["affinity"]["true_masks"])
        ),
        index=INDEX,
        classes=CLASS_TABLE,
        maps="results/cam/maps/{}.npy",
        labels="results/affinity/labels/{}.png",
        code=code_of("label_affinity"),
    script:
        "../scripts/label_affinity.py"


use rule label_affinity as label_affinity_of_image with:
    input:
        dataset=index_of(
            images_of_job, "image", "labels", *["mask"] * bool(config["affinity"]["true_masks"])
        ),
        maps=of_images("results/cam/maps/{}.npy"),
        manifest=manifest_of_image("results/affinity/labels"),
    output:
        update("results/affinity/labels/{image}.png"),
    log:
        "results/logs/label_affinity/{image}.log",
    benchmark:
        "results/benchmarks/label_affinity/{image}.tsv"
    threads: 1


rule train_affinity:
    """Train AffinityNet on pairs of cells in the confident areas (paper, eq. 3 to 10)."""
    input:
        dataset=index_of(IMAGES["train_aug"], "image"),
        labels=files_of_shards("results/affinity/labels", shards("train_aug")),
        weights=weights_of("affinity"),
        cache=CACHE,
    output:
        network="results/affinity/network.pt",
        losses="results/affinity/losses.csv",
    log:
        "results/logs/train_affinity.log",
    benchmark:
        "results/benchmarks/train_affinity.tsv"
    threads: 8
    params:
        settings=settings(
            network=config["affinity"]["network"],
            training=config["affinity"]["training"],
            cache=config["dataset"]["cache"],
            pairs=config["affinity"]["pairs"],
            seed=config["seed"],
        ),
        images=IMAGES["train_aug"],
        data=data_of(IMAGES["train_aug"], "image", files=weights_of("affinity")),
        index=INDEX,
        classes=CLASS_TABLE,
        labels="results/affinity/labels/{}.png",
        checkpoints="results/.checkpoints/affinity",
        code=code_of("train_affinity"),
    script:
        "../scripts/train_affinity.py"


rule infer_affinity:
    """Affinities of neighbouring cells for one shard of images (paper, eq. 3 and 4)."""
    input:
        network="results/affinity/network.pt",
        dataset=index_of(images_of_job, "image"),
    output:
        edges="results/affinity/edges/{shard}.h5",
    log:
        "results/logs/infer_affinity/{shard}.log",
    benchmark:
        "results/benchmarks/infer_affinity/{shard}.tsv"
    threads: 8
    params:
        settings=settings(
            gamma=config["affinity"]["pairs"]["gamma"],
            distance=config["affinity"]["pairs"]["distance"],
            scale=config["affinity"]["inference"]["scale"],
        ),
        images=images_of_job,
        data=data_of(images_of_job, "image"),
        index=INDEX,
        code=code_of("infer_affinity"),
    script:
        "../scripts/infer_affinity.py"
