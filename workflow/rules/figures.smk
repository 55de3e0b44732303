"""Pictures. Needs every stage's maps of a few images; makes results/figures/*.png."""

SHOWN = IMAGES["train_aug"][:: -(-len(IMAGES["train_aug"]) // 6)]
SHOWN_VAL = IMAGES["val"][:: -(-len(IMAGES["val"]) // 6)] if IMAGES["val"] else []


rule figure_stages:
    """A few training images through all stages, a row each."""
    input:
        dataset=index_of(SHOWN, "image", "labels", "mask"),
        maps=files_of_shards("results/cam/maps", shards_with(SHOWN)),
        areas=files_of_shards("results/affinity/labels", shards_with(SHOWN)),
        walk=files_of_shards("results/walk/labels", shards_with(SHOWN)),
        labels=files_of_shards("results/labels", shards_with(SHOWN)),
    output:
        "results/figures/stages.png",
    log:
        "results/logs/figure_stages.log",
    benchmark:
        "results/benchmarks/figure_stages.tsv"
    localrule: True
    params:
        images=SHOWN,
        data=data_of(SHOWN, "image", "labels", "mask"),
        index=INDEX,
        classes=CLASS_TABLE,
        maps="results/cam/maps/{}.npy",
        labels=[
            "results/affinity/labels/{}.png",
            "results/walk/labels/{}.png",
            "results/labels/{}.png",
        ],
        code=code_of("figure_stages"),
    script:
        "../scripts/figure_stages.py"


rule figure_predictions:
    """A few validation images with the segmentation model's predictions."""
    input:
        dataset=index_of(SHOWN_VAL, "image", "mask"),
        predictions=files_of_shards("results/segmentation/predictions", shards_with(SHOWN_VAL)),
    output:
        "results/figures/predictions.png",
    log:
        "results/logs/figure_predictions.log",
    benchmark:
        "results/benchmarks/figure_predictions.tsv"
    localrule: True
    params:
        images=SHOWN_VAL,
        data=data_of(SHOWN_VAL, "image", "mask"),
        index=INDEX,
        classes=CLASS_TABLE,
        predictions="results/segmentation/predictions/{}.png",
        code=code_of("figure_predictions"),
    script:
        "../scripts/figure_predictions.py"


rule figure_metrics:
    """The score of every stage, as bars."""
    input:
        "results/metrics.csv",
    output:
        "results/figures/metrics.png",
    log:
        "results/logs/figure_metrics.log",
    benchmark:
        "results/benchmarks/figure_metrics.tsv"
    localrule: True
    params:
        code=code_of("figure_metrics"),
    script:
        "../scripts/figure_metrics.py"
