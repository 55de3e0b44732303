"""Semantic boundaries. Needs edges; makes results/boundaries/{image}.png and their score."""


rule draw_boundaries:
    """Boundary strength of one shard of images, from the affinities of nearest neighbours."""
    input:
        dataset=index_of(images_of_job, "image"),
        edges=of_shard("results/affinity/edges/{}.h5"),
    output:
        manifest="results/boundaries/{shard}.txt",
    log:
        "results/logs/draw_boundaries/{shard}.log",
    benchmark:
        "results/benchmarks/draw_boundaries/{shard}.tsv"
    params:
        settings=settings(gamma=config["affinity"]["pairs"]["gamma"]),
        images=images_of_job,
        data=data_of(images_of_job, "image"),
        index=INDEX,
        boundaries="results/boundaries/{}.png",
        code=code_of("draw_boundaries"),
    script:
        "../scripts/draw_boundaries.py"


use rule draw_boundaries as draw_boundaries_of_image with:
    input:
        dataset=index_of(images_of_job, "image"),
        edges=of_shard("results/affinity/edges/{}.h5"),
        manifest=manifest_of_image("results/boundaries"),
    output:
        update("results/boundaries/{image}.png"),
    log:
        "results/logs/draw_boundaries/{image}.log",
    benchmark:
        "results/benchmarks/draw_boundaries/{image}.tsv"


rule evaluate_boundaries:
    """Score the boundaries of the validation images: F-measures ODS and OIS."""
    input:
        dataset=index_of(SCORED["val"], "mask"),
        boundaries=files_of_shards("results/boundaries", shards("val")),
    output:
        "results/tables/boundaries.csv",
    log:
        "results/logs/evaluate_boundaries.log",
    benchmark:
        "results/benchmarks/evaluate_boundaries.tsv"
    params:
        images=SCORED["val"],
        data=data_of(SCORED["val"], "mask"),
        index=INDEX,
        classes=CLASS_TABLE,
        boundaries="results/boundaries/{}.png",
        code=code_of("evaluate_boundaries"),
    script:
        "../scripts/evaluate_boundaries.py"
