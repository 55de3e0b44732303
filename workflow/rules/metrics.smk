"""Scores. Needs each stage's label maps and the true masks; makes results/metrics.csv."""

# Score files under results/metrics/: stage, split, label maps. The class maps are scored apart.
SPLITS = {"cam": "train", "walk": "train", "labels": "train", "segmentation": "val"}
LABEL_MAPS = {
    "walk": ("walk", "train", "results/walk/labels/{}.png"),
    "labels": ("labels", "train", "results/labels/{}.png"),
    "segmentation": ("segmentation", "val", "results/segmentation/predictions/{}.png"),
    # Made for the tables alone:
    "superpixels": ("superpixels", "train", "results/superpixels/{}.png"),
    "val_walk": ("walk", "val", "results/walk/labels/{}.png"),
    "val_labels": ("labels", "val", "results/labels/{}.png"),
    "upper_bound": ("upper_bound", "val", "results/upper_bound/predictions/{}.png"),
}

for scored, split in {"cam": "train", "val_cam": "val"}.items():

    rule:
        """Score the class activation maps of a split, with the background of eq. 2."""
        name:
            f"evaluate_{scored}"
        input:
            index="results/dataset/index.csv",
            classes="results/dataset/classes.csv",
            maps=files("results/cam/maps/{}.npy", SCORED[split]),
        output:
            f"results/metrics/{scored}.csv",
        log:
            f"results/logs/evaluate_{scored}.log",
        benchmark:
            f"results/benchmarks/evaluate_{scored}.tsv"
        params:
            settings=settings(alpha=config["cam"]["alpha"]),
            split=split,
        script:
            "../scripts/evaluate_cam.py"


for scored, (stage, split, pattern) in LABEL_MAPS.items():

    rule:
        """Score the label maps of one stage."""
        name:
            f"evaluate_{scored}"
        input:
            index="results/dataset/index.csv",
            classes="results/dataset/classes.csv",
            labels=files(pattern, SCORED[split]),
        output:
            f"results/metrics/{scored}.csv",
        log:
            f"results/logs/evaluate_{scored}.log",
        benchmark:
            f"results/benchmarks/evaluate_{scored}.tsv"
        params:
            stage=stage,
            split=split,
        script:
            "../scripts/evaluate_labels.py"


rule metrics:
    """All scores in one table; what has no masks is not in it, but all stages have run."""
    input:
        scores=[f"results/metrics/{s}.csv" for s, split in SPLITS.items() if SCORED[split]],
        labels=files("results/labels/{}.png", IMAGES["train_aug"]),
        predictions=files("results/segmentation/predictions/{}.png", IMAGES["val"]),
        network="results/segmentation/network.pt",
    output:
        "results/metrics.csv",
    log:
        "results/logs/metrics.log",
    benchmark:
        "results/benchmarks/metrics.tsv"
    script:
        "../scripts/metrics.py"
