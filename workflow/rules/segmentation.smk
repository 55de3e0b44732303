"""Segmentation models. Needs label maps; makes results/segmentation/network.pt and predictions/.

The upper bound, results/upper_bound/, is the same network trained on true masks.
"""

# The images and label maps that each model is trained on.
TRAINED_ON = {"segmentation": (IMAGES["train_aug"], "results/labels")}

if config["segmentation"]["upper_bound"]:
    TRAINED_ON["upper_bound"] = (SCORED["train_aug"], "results/upper_bound/labels")
    batch_size = config["segmentation"]["training"]["batch_size"]
    if len(SCORED["train_aug"]) < batch_size:
        raise ConfigError(
            f"segmentation.upper_bound: {len(SCORED['train_aug'])} training images have a mask, "
            f"fewer than segmentation.training.batch_size, {batch_size}; add masks, lower it or "
            "say false"
        )


wildcard_constraints:
    model="|".join(TRAINED_ON),


rule label_upper_bound:
    """True masks of one shard as class indices."""
    input:
        dataset=index_of(images_of_job_in(SCORED["train_aug"]), "mask"),
    output:
        manifest="results/upper_bound/labels/{shard}.txt",
    log:
        "results/logs/label_upper_bound/{shard}.log",
    benchmark:
        "results/benchmarks/label_upper_bound/{shard}.tsv"
    params:
        images=images_of_job_in(SCORED["train_aug"]),
        data=data_of(images_of_job_in(SCORED["train_aug"]), "mask"),
        index=INDEX,
        classes=CLASS_TABLE,
        labels="results/upper_bound/labels/{}.png",
        code=code_of("label_upper_bound"),
    script:
        "../scripts/label_upper_bound.py"


use rule label_upper_bound as label_upper_bound_of_image with:
    input:
        dataset=index_of(images_of_job_in(SCORED["train_aug"]), "mask"),
        manifest=manifest_of_image("results/upper_bound/labels"),
    output:
        update("results/upper_bound/labels/{image}.png"),
    log:
        "results/logs/label_upper_bound/{image}.log",
    benchmark:
        "results/benchmarks/label_upper_bound/{image}.tsv"


rule train_segmentation:
    """Train a segmentation model on label maps (paper, section 3.4)."""
    input:
        dataset=index_of(lambda w: TRAINED_ON[w.model][0], "image"),
        labels=lambda w: files_of_shards(TRAINED_ON[w.model][1], shards("train_aug")),
        weights=weights_of("segmentation"),
        cache=CACHE,
    output:
        network="results/{model}/network.pt",
        losses="results/{model}/losses.csv",
    log:
        "results/logs/train_{model}.log",
    benchmark:
        "results/benchmarks/train_{model}.tsv"
    threads: 8
    params:
        settings=settings(
            network=config["segmentation"]["network"],
            training=config["segmentation"]["training"],
            cache=config["dataset"]["cache"],
            seed=config["seed"],
        ),
        images=lambda w: TRAINED_ON[w.model][0],
        data=data_of(lambda w: TRAINED_ON[w.model][0], "image", files=weights_of("segmentation")),
        index=INDEX,
        classes=CLASS_TABLE,
        labels=lambda w: f"{TRAINED_ON[w.model][1]}/{{}}.png",
        checkpoints="results/.checkpoints/{model}",
        code=code_of("train_segmentation"),
    script:
        "../scripts/train_segmentation.py"


rule predict_segmentation:
    """Predictions for one shard of the validation images, at several scales and mirrored."""
    input:
        network="results/{model}/network.pt",
        dataset=index_of(images_of_job, "image"),
    output:
        manifest="results/{model}/predictions/{shard}.txt",
    log:
        "results/logs/predict_{model}/{shard}.log",
    benchmark:
        "results/benchmarks/predict_{model}/{shard}.tsv"
    threads: 8
    params:
        settings=settings(**config["segmentation"]["inference"]),
        images=images_of_job,
        data=data_of(images_of_job, "image"),
        index=INDEX,
        predictions=lambda w: f"results/{w.model}/predictions/{{}}.png",
        code=code_of("predict_segmentation"),
    script:
        "../scripts/predict_segmentation.py"


use rule predict_segmentation as predict_segmentation_of_image with:
    input:
        network="results/{model}/network.pt",
        dataset=index_of(images_of_job, "image"),
        manifest=manifest_of_image("results/{model}/predictions"),
    output:
        update("results/{model}/predictions/{image}.png"),
    log:
        "results/logs/predict_{model}/{image}.log",
    benchmark:
        "results/benchmarks/predict_{model}/{image}.tsv"
