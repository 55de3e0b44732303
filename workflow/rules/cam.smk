"""Class activation maps. Needs the index; makes results/cam/network.pt and results/cam/maps/."""


rule train_cam:
    """Train the classification network on image-level labels (paper, section 3.1)."""
    input:
        index="results/dataset/index.csv",
        classes="results/dataset/classes.csv",
    output:
        network="results/cam/network.pt",
        losses="results/cam/losses.csv",
    log:
        "results/logs/train_cam.log",
    benchmark:
        "results/benchmarks/train_cam.tsv"
    threads: 8
    params:
        settings=settings(
            network=config["cam"]["network"],
            training=config["cam"]["training"],
            seed=config["seed"],
        ),
        checkpoints="results/.checkpoints/cam",
    script:
        "../scripts/train_cam.py"


for shard, images in SHARDS.items():

    rule:
        """Class activation maps of one shard of images (paper, eq. 1)."""
        name:
            f"infer_cam_{shard}"
        input:
            network="results/cam/network.pt",
            index=f"results/dataset/shards/{shard}.csv",
            classes="results/dataset/classes.csv",
        output:
            maps=files("results/cam/maps/{}.npy", images),
        log:
            f"results/logs/infer_cam/{shard}.log",
        benchmark:
            f"results/benchmarks/infer_cam/{shard}.tsv"
        threads: 8
        params:
            settings=settings(**config["cam"]["inference"]),
        script:
            "../scripts/infer_cam.py"
