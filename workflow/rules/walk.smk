"""Random walk. Needs class maps and edges; makes results/walk/scores/ and results/walk/labels/.

exponents/{shard}.csv has the exponent of each image's background, as chosen by `alpha: auto`.
"""

EXPONENTS = [f"results/walk/exponents/{shard}.csv" for shard in DATA.shards("train_aug")]


rule run_walk:
    """Spread the class maps of one shard over its affinities (paper, eq. 11 and 12)."""
    input:
        images=of_shard("results/dataset/images/{}.csv"),
        maps=of_images("results/cam/maps/{}.npy"),
        edges=of_shard("results/affinity/edges/{}.h5"),
        shard=own_shard("results/walk/scores/{}.txt"),
    output:
        manifest="results/walk/scores/{shard}.txt",
        labels_manifest="results/walk/labels/{shard}.txt",
        exponents="results/walk/exponents/{shard}.csv",
    log:
        "results/logs/run_walk/{shard}.log",
    benchmark:
        "results/benchmarks/run_walk/{shard}.tsv"
    params:
        settings=settings(**config["walk"], gamma=config["affinity"]["pairs"]["gamma"]),
        maps="results/cam/maps/{}.npy",
        scores="results/walk/scores/{}.npy",
        labels="results/walk/labels/{}.png",
        code=code_of("run_walk"),
    script:
        "../scripts/run_walk.py"


use rule run_walk as run_walk_of_image with:
    output:
        update("results/walk/scores/{image}.npy"),
        update("results/walk/labels/{image}.png"),
    log:
        "results/logs/run_walk/{image}.log",
    benchmark:
        "results/benchmarks/run_walk/{image}.tsv"
    priority: 1
