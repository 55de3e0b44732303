"""Semantic boundaries. Needs edges; makes results/boundaries/{image}.png and their score."""

for shard, images in SHARDS.items():

    rule:
        """Boundary strength of one shard of images, from the affinities of nearest neighbours."""
        name:
            f"draw_boundaries_{shard}"
        input:
            index=f"results/dataset/shards/{shard}.csv",
            edges=f"results/affinity/edges/{shard}.h5",
        output:
            boundaries=files("results/boundaries/{}.png", images),
        log:
            f"results/logs/draw_boundaries/{shard}.log",
        benchmark:
            f"results/benchmarks/draw_boundaries/{shard}.tsv"
        params:
            settings=settings(gamma=config["affinity"]["pairs"]["gamma"]),
        script:
            "../scripts/draw_boundaries.py"


rule evaluate_boundaries:
    """Score the boundaries of the validation images: F-measures ODS and OIS."""
    input:
        index="results/dataset/index.csv",
        classes="results/dataset/classes.csv",
        boundaries=files("results/boundaries/{}.png", SCORED["val"]),
    output:
        "results/tables/boundaries.csv",
    log:
        "results/logs/evaluate_boundaries.log",
    benchmark:
        "results/benchmarks/evaluate_boundaries.tsv"
    script:
        "../scripts/evaluate_boundaries.py"
