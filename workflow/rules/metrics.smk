"""Scores. Needs each stage's label maps and the true masks; makes results/metrics.csv."""

PART_OF_SPLIT = {"train": "train_aug", "val": "val"}
# Score files under results/metrics/: stage, split, label maps. The class maps are scored apart.
SPLITS = {"cam": "train", "walk": "train", "labels": "train", "segmentation": "val"}
LABEL_MAPS = {
    "walk": ("walk", "train", "results/walk/labels"),
    "labels": ("labels", "train", "results/labels"),
    "segmentation": ("segmentation", "val", "results/segmentation/predictions"),
    # Made for the tables alone:
    "superpixels": ("superpixels", "train", "results/superpixels"),
    "val_walk": ("walk", "val", "results/walk/labels"),
    "val_labels": ("labels", "val", "results/labels"),
    "upper_bound": ("upper_bound", "val", "results/upper_bound/predictions"),
}

for scored, split in {"cam": "train", "val_cam": "val"}.items():

    rule:
        """Score the class activation maps of a split, with the background of eq. 2."""
        name:
            f"evaluate_{scored}"
        input:
            dataset=index_of(SCORED[split], "labels", "mask"),
            maps=files_of_shards("results/cam/maps", shards(PART_OF_SPLIT[split])),
        output:
            f"results/metrics/{scored}.csv",
        log:
            f"results/logs/evaluate_{scored}.log",
        benchmark:
            f"results/benchmarks/evaluate_{scored}.tsv"
        localrule: True
        params:
            settings=settings(alpha=config["cam"]["alpha"]),
            split=split,
            images=SCORED[split],
            data=data_of(SCORED[split], "labels", "mask"),
            index=INDEX,
            classes=CLASS_TABLE,
            maps="results/cam/maps/{}.npy",
            code=code_of("evaluate_cam"),
        script:
            "../scripts/evaluate_cam.py"


for scored, (stage, split, folder) in LABEL_MAPS.items():

    rule:
        """Score the label maps of one stage."""
        name:
            f"evaluate_{scored}"
        input:
            dataset=index_of(SCORED[split], "mask"),
            labels=files_of_shards(folder, shards(PART_OF_SPLIT[split])),
        output:
            f"results/metrics/{scored}.csv",
        log:
            f"results/logs/evaluate_{scored}.log",
        benchmark:
            f"results/benchmarks/evaluate_{scored}.tsv"
        localrule: True
        params:
            stage=stage,
            split=split,
            images=SCORED[split],
            data=data_of(SCORED[split], "mask"),
            index=INDEX,
            classes=CLASS_TABLE,
            labels=f"{folder}/{{}}.png",
            code=code_of("evaluate_labels"),
        script:
            "../scripts/evaluate_labels.py"


rule metrics:
    """All scores in one table; what has no masks is not in it, but all stages have run."""
    input:
        checked=CHECKED,  # each change of the data set
        scores=[f"results/metrics/{s}.csv" for s, split in SPLITS.items() if SCORED[split]],
        labels=files_of_shards("results/labels", shards("train_aug")),
        predictions=files_of_shards("results/segmentation/predictions", shards("val")),
        network="results/segmentation/network.pt",
    output:
        "results/metrics.csv",
    log:
        "results/logs/metrics.log",
    benchmark:
        "results/benchmarks/metrics.tsv"
    localrule: True
    params:
        scored=[stage for stage, split in SPLITS.items() if SCORED[split]],
        code=code_of("metrics"),
    script:
        "../scripts/metrics.py"
