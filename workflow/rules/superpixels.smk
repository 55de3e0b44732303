"""Superpixel baseline. Needs class maps; makes results/superpixels/{image}.png."""


rule pool_superpixels:
    """Class maps of one shard pooled over superpixels."""
    input:
        dataset=index_of(images_of_job_in(SCORED["train"]), "image", "labels"),
        maps=of_images("results/cam/maps/{}.npy"),
    output:
        manifest="results/superpixels/{shard}.txt",
    log:
        "results/logs/pool_superpixels/{shard}.log",
    benchmark:
        "results/benchmarks/pool_superpixels/{shard}.tsv"
    params:
        settings=settings(**config["superpixels"]),
        images=images_of_job_in(SCORED["train"]),
        data=data_of(images_of_job_in(SCORED["train"]), "image", "labels"),
        index=INDEX,
        classes=CLASS_TABLE,
        maps="results/cam/maps/{}.npy",
        labels="results/superpixels/{}.png",
        code=code_of("pool_superpixels"),
    script:
        "../scripts/pool_superpixels.py"


use rule pool_superpixels as pool_superpixels_of_image with:
    input:
        dataset=index_of(images_of_job_in(SCORED["train"]), "image", "labels"),
        maps=of_images("results/cam/maps/{}.npy"),
        manifest=manifest_of_image("results/superpixels"),
    output:
        update("results/superpixels/{image}.png"),
    log:
        "results/logs/pool_superpixels/{image}.log",
    benchmark:
        "results/benchmarks/pool_superpixels/{image}.tsv"
