"""Semantic boundaries. Needs edges; makes results/boundaries/{image}.png and their score."""


rule draw_boundaries:
    """Boundary strength of one shard of images, from the affinities of nearest neighbours."""
    input:
        images=of_shard("results/dataset/images/{}.csv"),
        edges=of_shard("results/affinity/edges/{}.h5"),
        shard=own_shard("results/boundaries/{}.txt"),
    output:
        manifest="results/boundaries/{shard}.txt",
    log:
        "results/logs/draw_boundaries/{shard}.log",
    benchmark:
        "results/benchmarks/draw_boundaries/{shard}.tsv"
    params:
        settings=settings(gamma=config["affinity"]["pairs"]["gamma"]),
        boundaries="results/boundaries/{}.png",
        code=code_of("draw_boundaries"),
    script:
        "../scripts/draw_boundaries.py"


use rule draw_boundaries as draw_boundaries_of_image with:
    output:
        update("results/boundaries/{image}.png"),
    log:
        "results/logs/draw_boundaries/{image}.log",
    benchmark:
        "results/benchmarks/draw_boundaries/{image}.tsv"


rule evaluate_boundaries:
    """Score the boundaries of the validation images: F-measures ODS and OIS."""
    input:
        scored="results/dataset/scored_val.txt",
        masks=of_shards(MASKS, DATA.shards("val")),
        boundaries=of_shards("results/boundaries/{}.png", DATA.shards("val")),
    output:
        "results/tables/boundaries.csv",
    log:
        "results/logs/evaluate_boundaries.log",
    benchmark:
        "results/benchmarks/evaluate_boundaries.tsv"
    params:
        masks=MASKS,
        boundaries="results/boundaries/{}.png",
        code=code_of("evaluate_boundaries"),
    script:
        "../scripts/evaluate_boundaries.py"
