"""Affinities. Needs class maps; makes results/affinity/labels/, network.pt and edges/."""

if config["affinity"]["true_masks"]:
    known = list_classes(config["dataset"])
    if unknown := sorted(set(config["affinity"]["true_masks"]) - set(known)):
        raise ConfigError(
            f"affinity.true_masks: {unknown} are not classes; choose from {', '.join(known)}"
        )
    if not SCORED["train_aug"]:
        raise ConfigError("affinity.true_masks: no training image has a mask; add masks or say []")

for shard, images in TRAIN_SHARDS.items():

    rule:
        """Confident areas of one shard of images, by eq. 2 and the dense CRF (section 3.2)."""
        name:
            f"label_affinity_{shard}"
        input:
            index=f"results/dataset/shards/{shard}.csv",
            classes="results/dataset/classes.csv",
            maps=files("results/cam/maps/{}.npy", images),
        output:
            labels=files("results/affinity/labels/{}.png", images),
        log:
            f"results/logs/label_affinity/{shard}.log",
        benchmark:
            f"results/benchmarks/label_affinity/{shard}.tsv"
        params:
            settings=settings(
                **config["affinity"]["labels"], true_masks=config["affinity"]["true_masks"]
            ),
        script:
            "../scripts/label_affinity.py"


rule train_affinity:
    """Train AffinityNet on pairs of cells in the confident areas (paper, eq. 3 to 10)."""
    input:
        index="results/dataset/index.csv",
        classes="results/dataset/classes.csv",
        labels=files("results/affinity/labels/{}.png", IMAGES["train_aug"]),
    output:
        network="results/affinity/network.pt",
        losses="results/affinity/losses.csv",
    log:
        "results/logs/train_affinity.log",
    benchmark:
        "results/benchmarks/train_affinity.tsv"
    threads: 8
    params:
        settings=settings(
            network=config["affinity"]["network"],
            training=config["affinity"]["training"],
            pairs=config["affinity"]["pairs"],
            seed=config["seed"],
        ),
        checkpoints="results/.checkpoints/affinity",
    script:
        "../scripts/train_affinity.py"


for shard in SHARDS:

    rule:
        """Affinities of neighbouring cells for one shard of images (paper, eq. 3 and 4)."""
        name:
            f"infer_affinity_{shard}"
        input:
            network="results/affinity/network.pt",
            index=f"results/dataset/shards/{shard}.csv",
        output:
            edges=f"results/affinity/edges/{shard}.h5",
        log:
            f"results/logs/infer_affinity/{shard}.log",
        benchmark:
            f"results/benchmarks/infer_affinity/{shard}.tsv"
        threads: 8
        params:
            settings=settings(
                gamma=config["affinity"]["pairs"]["gamma"],
                distance=config["affinity"]["pairs"]["distance"],
                scale=config["affinity"]["inference"]["scale"],
            ),
        script:
            "../scripts/infer_affinity.py"
