"""Affinities. Needs affinity labels; makes results/affinity/network.safetensors and edges/{shard}.h5."""

if not config["freeze"]:

    rule train_affinity:
        """Train AffinityNet on pairs of cells in the confident areas (paper, eq. 3 to 10)."""
        input:
            images=tables("train_aug"),
            classes=CLASSES,
            labels=of_shards("results/affinity_labels/{}.png", DATA.shards("train_aug")),
            weights=weights_of("affinity"),
            cache=CACHE,
        output:
            network="results/affinity/network.safetensors",
            losses="results/affinity/losses.csv",
        log:
            "results/logs/train_affinity.log",
        benchmark:
            "results/benchmarks/train_affinity.tsv"
        threads: 8
        params:
            stage="affinity",
            settings=training_settings("affinity", losses=config["affinity"]["pairs"]),
            labels="results/affinity_labels/{}.png",
            checkpoints="results/.checkpoints/affinity",
            code=code_of("train", "psa_core.method.affinity"),
        script:
            "../scripts/train.py"


rule infer_affinity:
    """Affinities of neighbouring cells for one shard of images (paper, eq. 3 and 4)."""
    input:
        images=of_shard("results/dataset/images/{}.csv"),
        network="results/affinity/network.safetensors",
    output:
        edges="results/affinity/edges/{shard}.h5",
    log:
        "results/logs/infer_affinity/{shard}.log",
    benchmark:
        "results/benchmarks/infer_affinity/{shard}.tsv"
    threads: 8
    params:
        settings=settings(
            gamma=config["affinity"]["pairs"]["gamma"],
            distance=config["affinity"]["pairs"]["distance"],
            scale=config["affinity"]["inference"]["scale"],
            longest_side=config["longest_side"],
        ),
        code=code_of("infer_affinity"),
    script:
        "../scripts/infer_affinity.py"
