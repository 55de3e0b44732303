"""Segmentation model. Needs pseudo labels; makes results/segmentation/network.pt, predictions/."""


rule train_segmentation:
    """Train the segmentation model on the pseudo labels (paper, section 3.4)."""
    input:
        index="results/dataset/index.csv",
        classes="results/dataset/classes.csv",
        labels=files_of_shards("results/labels/{}.png", shards("train_aug")),
        weights=weights_of("segmentation"),
    output:
        network="results/segmentation/network.pt",
        losses="results/segmentation/losses.csv",
    log:
        "results/logs/train_segmentation.log",
    benchmark:
        "results/benchmarks/train_segmentation.tsv"
    threads: 8
    params:
        settings=settings(
            network=config["segmentation"]["network"],
            training=config["segmentation"]["training"],
            seed=config["seed"],
        ),
        labels="results/labels/{}.png",
        checkpoints="results/.checkpoints/segmentation",
    script:
        "../scripts/train_segmentation.py"


rule predict_segmentation:
    """Predictions for one shard of the validation images, at several scales and mirrored."""
    input:
        network="results/segmentation/network.pt",
        index=of_shard("results/dataset/shards/{}.csv"),
    output:
        manifest="results/segmentation/predictions/{shard}.txt",
    log:
        "results/logs/predict_segmentation/{shard}.log",
    benchmark:
        "results/benchmarks/predict_segmentation/{shard}.tsv"
    threads: 8
    params:
        settings=settings(**config["segmentation"]["inference"]),
        images=images_of_job,
        predictions="results/segmentation/predictions/{}.png",
    script:
        "../scripts/predict_segmentation.py"


use rule predict_segmentation as predict_segmentation_of_image with:
    input:
        network="results/segmentation/network.pt",
        index=of_shard("results/dataset/shards/{}.csv"),
        manifest=manifest_of_image("results/segmentation/predictions"),
    output:
        "results/segmentation/predictions/{image}.png",
    log:
        "results/logs/predict_segmentation/{image}.log",
    benchmark:
        "results/benchmarks/predict_segmentation/{image}.tsv"
