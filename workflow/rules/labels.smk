"""Pseudo labels. Needs walk scores and images; makes results/labels/{image}.png."""

for shard, images in SHARDS.items():

    rule:
        """Pseudo labels of one shard: dense CRF, then arg max (paper, section 3.3)."""
        name:
            f"refine_labels_{shard}"
        input:
            index=f"results/dataset/shards/{shard}.csv",
            classes="results/dataset/classes.csv",
            scores=files("results/walk/scores/{}.npy", images),
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
