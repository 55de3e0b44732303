"""Scores. Needs each stage's label maps and the true masks; makes results/metrics.csv."""


rule evaluate_cam:
    """Score the class activation maps, with the background of eq. 2."""
    input:
        index="results/dataset/index.csv",
        classes="results/dataset/classes.csv",
        maps=files_of_shards("results/cam/maps/{}.npy", shards("train_aug")),
    output:
        "results/metrics/cam.csv",
    log:
        "results/logs/evaluate_cam.log",
    benchmark:
        "results/benchmarks/evaluate_cam.tsv"
    params:
        settings=settings(alpha=config["cam"]["alpha"]),
        images=SCORED["train"],
        maps="results/cam/maps/{}.npy",
    script:
        "../scripts/evaluate_cam.py"


SPLITS = {"cam": "train", "walk": "train", "labels": "train", "segmentation": "val"}
PARTS = {"train": "train_aug", "val": "val"}
LABEL_MAPS = {
    "walk": "results/walk/labels/{}.png",
    "labels": "results/labels/{}.png",
    "segmentation": "results/segmentation/predictions/{}.png",
}

for stage, pattern in LABEL_MAPS.items():

    rule:
        """Score the label maps of one stage."""
        name:
            f"evaluate_{stage}"
        input:
            index="results/dataset/index.csv",
            classes="results/dataset/classes.csv",
            labels=files_of_shards(pattern, shards(PARTS[SPLITS[stage]])),
        output:
            f"results/metrics/{stage}.csv",
        log:
            f"results/logs/evaluate_{stage}.log",
        benchmark:
            f"results/benchmarks/evaluate_{stage}.tsv"
        params:
            stage=stage,
            split=SPLITS[stage],
            images=SCORED[SPLITS[stage]],
            labels=pattern,
        script:
            "../scripts/evaluate_labels.py"


rule metrics:
    """All scores in one table; what has no masks is not in it, but all stages have run."""
    input:
        scores=[f"results/metrics/{s}.csv" for s, split in SPLITS.items() if SCORED[split]],
        labels=files_of_shards("results/labels/{}.png", shards("train_aug")),
        predictions=files_of_shards("results/segmentation/predictions/{}.png", shards("val")),
        network="results/segmentation/network.pt",
    output:
        "results/metrics.csv",
    log:
        "results/logs/metrics.log",
    benchmark:
        "results/benchmarks/metrics.tsv"
    script:
        "../scripts/metrics.py"
