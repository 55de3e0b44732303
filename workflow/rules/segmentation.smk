"""Segmentation model. Needs pseudo labels; makes results/segmentation/network.pt, predictions/."""


rule train_segmentation:
    """Train the segmentation model on the pseudo labels (paper, section 3.4)."""
    input:
        index="results/dataset/index.csv",
        classes="results/dataset/classes.csv",
        labels=files("results/labels/{}.png", IMAGES["train_aug"]),
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
        checkpoints="results/.checkpoints/segmentation",
    script:
        "../scripts/train_segmentation.py"


for shard, images in VAL_SHARDS.items():

    rule:
        """Predictions for one shard of the validation images, at several scales and mirrored."""
        name:
            f"predict_segmentation_{shard}"
        input:
            network="results/segmentation/network.pt",
            index=f"results/dataset/shards/{shard}.csv",
        output:
            predictions=files("results/segmentation/predictions/{}.png", images),
        log:
            f"results/logs/predict_segmentation/{shard}.log",
        benchmark:
            f"results/benchmarks/predict_segmentation/{shard}.tsv"
        threads: 8
        params:
            settings=settings(**config["segmentation"]["inference"]),
        script:
            "../scripts/predict_segmentation.py"
