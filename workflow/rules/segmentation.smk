"""Segmentation models. Needs label maps; makes results/segmentation/network.safetensors and predictions/.

The upper bound, results/upper_bound/, is the same network trained on true masks.
"""

# The label maps that each model is trained on.
LABELS_OF_MODEL = {"segmentation": "results/pseudo_labels/{}.png"}
if config["segmentation"]["upper_bound"]:
    LABELS_OF_MODEL["upper_bound"] = MASKS


wildcard_constraints:
    model="|".join(LABELS_OF_MODEL),


if not config["freeze"]:

    rule train_segmentation:
        """Train a segmentation model on label maps (paper, section 3.4)."""
        input:
            images=tables("train_aug"),
            classes=CLASSES,
            labels=lambda w: of_shards(LABELS_OF_MODEL[w.model], DATA.shards("train_aug")),
            corrections=of_pseudo_labels(CORRECTIONS if DATA.corrections else []),
            weights=weights_of("segmentation"),
            cache=CACHE,
        output:
            network="results/{model}/network.safetensors",
            losses="results/{model}/losses.csv",
        log:
            "results/logs/train_{model}.log",
        benchmark:
            "results/benchmarks/train_{model}.tsv"
        threads: 8
        params:
            stage="segmentation",
            settings=training_settings("segmentation"),
            labels=lambda w: LABELS_OF_MODEL[w.model],
            rejected=of_pseudo_labels(DATA.rejected),
            # Snakemake ignores a table that is no longer an input, and which parameter has a value.
            corrected=of_pseudo_labels({"corrected": list(DATA.corrections)}),
            checkpoints="results/.checkpoints/{model}",
            code=code_of("train", "psa_core.method.segmentation"),
        script:
            "../scripts/train.py"


rule predict_segmentation:
    """Predictions for one shard of the validation images, at several scales and mirrored."""
    input:
        images=of_shard("results/dataset/images/{}.csv"),
        network="results/{model}/network.safetensors",
        shard=own_shard("results/{model}/predictions/{}.txt"),
    output:
        manifest="results/{model}/predictions/{shard}.txt",
    log:
        "results/logs/predict_{model}/{shard}.log",
    benchmark:
        "results/benchmarks/predict_{model}/{shard}.tsv"
    threads: 8
    params:
        settings=settings(
            **config["segmentation"]["inference"], longest_side=config["longest_side"]
        ),
        predictions=lambda w: f"results/{w.model}/predictions/{{}}.png",
        code=code_of("predict_segmentation"),
    script:
        "../scripts/predict_segmentation.py"


use rule predict_segmentation as predict_segmentation_of_image with:
    output:
        update("results/{model}/predictions/{image}.png"),
    log:
        "results/logs/predict_{model}/{image}.log",
    benchmark:
        "results/benchmarks/predict_{model}/{image}.tsv"
    priority: 1
