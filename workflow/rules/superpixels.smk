"""Superpixel baseline. Needs class maps; makes results/superpixels/{image}.png."""


rule pool_superpixels:
    """Class maps of one shard pooled over superpixels."""
    input:
        images=of_shard("results/dataset/images/{}.csv"),
        scored="results/dataset/scored_train.txt",
        maps=of_images("results/cam/maps/{}.npy"),
        shard=own_shard("results/superpixels/{}.txt"),
    output:
        manifest="results/superpixels/{shard}.txt",
    log:
        "results/logs/pool_superpixels/{shard}.log",
    benchmark:
        "results/benchmarks/pool_superpixels/{shard}.tsv"
    params:
        settings=settings(**config["superpixels"]),
        maps="results/cam/maps/{}.npy",
        labels="results/superpixels/{}.png",
        code=code_of("pool_superpixels"),
    script:
        "../scripts/pool_superpixels.py"


use rule pool_superpixels as pool_superpixels_of_image with:
    output:
        update("results/superpixels/{image}.png"),
    log:
        "results/logs/pool_superpixels/{image}.log",
    benchmark:
        "results/benchmarks/pool_superpixels/{image}.tsv"
