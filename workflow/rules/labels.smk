"""Pseudo labels. Needs walk scores and images; makes results/labels/{image}.png."""


rule calibrate_labels:
    """Find the temperature of the walk's scores on the confident areas; uses no mask."""
    input:
        scores=files("results/walk/scores/{}.npy", IMAGES["train_aug"]),
        areas=files("results/affinity/labels/{}.png", IMAGES["train_aug"]),
        index="results/dataset/index.csv",
        classes="results/dataset/classes.csv",
    output:
        temperature="results/labels/temperature.json",
    log:
        "results/logs/calibrate_labels.log",
    benchmark:
        "results/benchmarks/calibrate_labels.tsv"
    script:
        "../scripts/calibrate_labels.py"


for shard, images in TRAIN_SHARDS.items():

    rule:
        """Pseudo labels of one shard: dense CRF, then arg max (paper, section 3.3)."""
        name:
            f"refine_labels_{shard}"
        input:
            index=f"results/dataset/shards/{shard}.csv",
            classes="results/dataset/classes.csv",
            scores=files("results/walk/scores/{}.npy", images),
            temperature=(
                "results/labels/temperature.json"
                if config["labels"]["temperature"] is None
                else []
            ),
        output:
            labels=files("results/labels/{}.png", images),
        log:
            f"results/logs/refine_labels/{shard}.log",
        benchmark:
            f"results/benchmarks/refine_labels/{shard}.tsv"
        params:
            settings=settings(**config["labels"]),
        script:
            "../scripts/refine_labels.py"
