"""Random walk. Needs class maps and edges; makes results/walk/scores/ and results/walk/labels/."""


rule random_walk:
    """Spread the class maps of one shard over its affinities (paper, eq. 11 and 12)."""
    input:
        dataset=index_of(images_of_job, "image", "labels"),
        maps=of_images("results/cam/maps/{}.npy"),
        edges=of_shard("results/affinity/edges/{}.h5"),
    output:
        manifest="results/walk/scores/{shard}.txt",
        labels_manifest="results/walk/labels/{shard}.txt",
    log:
        "results/logs/random_walk/{shard}.log",
    benchmark:
        "results/benchmarks/random_walk/{shard}.tsv"
    params:
        settings=settings(**config["walk"], gamma=config["affinity"]["pairs"]["gamma"]),
        images=images_of_job,
        data=data_of(images_of_job, "image", "labels"),
        index=INDEX,
        classes=CLASS_TABLE,
        maps="results/cam/maps/{}.npy",
        scores="results/walk/scores/{}.npy",
        labels="results/walk/labels/{}.png",
        code=code_of("random_walk"),
    script:
        "../scripts/random_walk.py"


use rule random_walk as random_walk_of_image with:
    input:
        dataset=index_of(images_of_job, "image", "labels"),
        maps=of_images("results/cam/maps/{}.npy"),
        edges=of_shard("results/affinity/edges/{}.h5"),
        manifest=manifest_of_image("results/walk/scores"),
    output:
        update("results/walk/scores/{image}.npy"),
        update("results/walk/labels/{image}.png"),
    log:
        "results/logs/random_walk/{image}.log",
    benchmark:
        "results/benchmarks/random_walk/{image}.tsv"
