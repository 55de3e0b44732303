"""Segmentation model. Needs pseudo labels; makes results/segmentation/network.pt, predictions/.

The upper bound, results/upper_bound/, is the same network trained on true masks.
"""

# The label maps that each model is trained on.
TRAINED_ON = {"segmentation": files("results/labels/{}.png", IMAGES["train_aug"])}

if config["segmentation"]["upper_bound"]:
    TRAINED_ON["upper_bound"] = files("results/upper_bound/labels/{}.png", SCORED["train_aug"])
    batch_size = config["segmentation"]["training"]["batch_size"]
    if len(SCORED["train_aug"]) < batch_size:
        raise ConfigError(
            f"segmentation.upper_bound: {len(SCORED['train_aug'])} training images have a mask, "
            f"fewer than segmentation.training.batch_size, {batch_size}; add masks, lower it or "
            "say false"
        )

    for shard, images in by_shard("train", SCORED["train_aug"]).items():

        rule:
            """True masks of one shard as class indices."""
            name:
                f"label_upper_bound_{shard}"
            input:
                index=f"results/dataset/shards/{shard}.csv",
                classes="results/dataset/classes.csv",
            output:
                labels=files("results/upper_bound/labels/{}.png", images),
            log:
                f"results/logs/label_upper_bound/{shard}.log",
            benchmark:
                f"results/benchmarks/label_upper_bound/{shard}.tsv"
            script:
                "../scripts/label_upper_bound.py"


for model, labels in TRAINED_ON.items():

    rule:
        """Train a segmentation model on label maps (paper, section 3.4)."""
        name:
            f"train_{model}"
        input:
            index="results/dataset/index.csv",
            classes="results/dataset/classes.csv",
            labels=labels,
        output:
            network=f"results/{model}/network.pt",
            losses=f"results/{model}/losses.csv",
        log:
            f"results/logs/train_{model}.log",
        benchmark:
            f"results/benchmarks/train_{model}.tsv"
        threads: 8
        params:
            settings=settings(
                network=config["segmentation"]["network"],
                training=config["segmentation"]["training"],
                seed=config["seed"],
            ),
            checkpoints=f"results/.checkpoints/{model}",
        script:
            "../scripts/train_segmentation.py"

    for shard, images in VAL_SHARDS.items():

        rule:
            """Predictions for one shard of the validation images, at several scales and mirrored."""
            name:
                f"predict_{model}_{shard}"
            input:
                network=f"results/{model}/network.pt",
                index=f"results/dataset/shards/{shard}.csv",
            output:
                predictions=files(f"results/{model}/predictions/{{}}.png", images),
            log:
                f"results/logs/predict_{model}/{shard}.log",
            benchmark:
                f"results/benchmarks/predict_{model}/{shard}.tsv"
            threads: 8
            params:
                settings=settings(**config["segmentation"]["inference"]),
            script:
                "../scripts/predict_segmentation.py"
