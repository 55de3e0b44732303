"""Pictures. Needs every stage's maps of a few images; makes results/figures/*.png."""

SHOWN = DATA.images["train_aug"][:: -(-len(DATA.images["train_aug"]) // 6)]
SHOWN_VAL = DATA.images["val"][:: -(-len(DATA.images["val"]) // 6)] if DATA.images["val"] else []
SHARDS_SHOWN, SHARDS_SHOWN_VAL = (
    sorted({DATA.shard_of(image) for image in images}) for images in (SHOWN, SHOWN_VAL)
)


rule figure_stages:
    """A few training images through all stages, one row each."""
    input:
        images=[f"results/dataset/images/{shard}.csv" for shard in SHARDS_SHOWN],
        classes=CLASSES,
        masks=of_shards(MASKS, SHARDS_SHOWN if DATA.scored["train_aug"] else []),
        maps=of_shards("results/cam/maps/{}.npy", SHARDS_SHOWN),
        areas=of_shards("results/affinity_labels/{}.png", SHARDS_SHOWN),
        walk=of_shards("results/walk/labels/{}.png", SHARDS_SHOWN),
        labels=of_shards("results/pseudo_labels/{}.png", SHARDS_SHOWN),
    output:
        picture("stages", "Pictures"),
    log:
        "results/logs/figure_stages.log",
    priority: 1  # before the segmentation model is trained
    localrule: True
    params:
        images=SHOWN,
        maps="results/cam/maps/{}.npy",
        labels=[
            "results/affinity_labels/{}.png",
            "results/walk/labels/{}.png",
            "results/pseudo_labels/{}.png",
        ],
        masks=MASKS,
        code=code_of("figure_stages"),
    script:
        "../scripts/figure_stages.py"


rule figure_predictions:
    """A few validation images with the segmentation model's predictions."""
    input:
        images=[f"results/dataset/images/{shard}.csv" for shard in SHARDS_SHOWN_VAL],
        classes=CLASSES,
        masks=of_shards(MASKS, SHARDS_SHOWN_VAL if DATA.scored["val"] else []),
        predictions=of_shards("results/segmentation/predictions/{}.png", SHARDS_SHOWN_VAL),
    output:
        picture("predictions", "Pictures"),
    log:
        "results/logs/figure_predictions.log",
    localrule: True
    params:
        images=SHOWN_VAL,
        predictions="results/segmentation/predictions/{}.png",
        masks=MASKS,
        code=code_of("figure_predictions"),
    script:
        "../scripts/figure_predictions.py"


rule figure_metrics:
    """The score of every stage, and where its IoU is lost, as bars."""
    input:
        METRICS,
    output:
        scores=picture("metrics", "Scores"),
        losses=picture("losses", "Scores"),
    log:
        "results/logs/figure_metrics.log",
    localrule: True
    params:
        code=code_of("figure_metrics"),
    script:
        "../scripts/figure_metrics.py"


rule figure_exponents:
    """Number of training images of each class by the exponent of their background in the walk."""
    input:
        images=tables("train_aug"),
        exponents=EXPONENTS,
    output:
        picture("exponents", "Trainings and choices"),
    log:
        "results/logs/figure_exponents.log",
    priority: 1  # before the segmentation model is trained
    localrule: True
    params:
        code=code_of("figure_exponents"),
    script:
        "../scripts/figure_exponents.py"


rule figure_trainings:
    """The mean losses of each epoch of the trainings."""
    input:
        LOSSES,
    output:
        picture("trainings", "Trainings and choices"),
    log:
        "results/logs/figure_trainings.log",
    localrule: True
    params:
        losses=LOSSES,  # Snakemake ignores a table that is no longer an input
        code=code_of("figure_trainings"),
    script:
        "../scripts/figure_trainings.py"
