"""Scores. Needs each stage's label maps and the true masks; makes results/metrics.csv."""


rule evaluate_cam:
    """Score the class activation maps, with the background of eq. 2."""
    input:
        index="results/dataset/index.csv",
        classes="results/dataset/classes.csv",
        maps=files("results/cam/maps/{}.npy", SCORED["train"]),
    output:
        "results/metrics/cam.csv",
    log:
        "results/logs/evaluate_cam.log",
    benchmark:
        "results/benchmarks/evaluate_cam.tsv"
    params:
        settings=settings(alpha=config["cam"]["alpha"]),
    script:
        "../scripts/evaluate_cam.py"


SPLITS = {"cam": "train", "walk": "train", "labels": "train", "segmentation": "val"}
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
            labels=files(pattern, SCORED[SPLITS[stage]]),
        output:
            f"results/metrics/{stage}.csv",
        log:
            f"results/logs/evaluate_{stage}.log",
        benchmark:
            f"results/benchmarks/evaluate_{stage}.tsv"
        params:
            stage=stage,
            split=SPLITS[stage],
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
