"""Superpixel baseline. Needs class maps; makes results/superpixels/{image}.png."""

for shard, images in by_shard("train", SCORED["train"]).items():

    rule:
        """Class maps of one shard pooled over superpixels."""
        name:
            f"pool_superpixels_{shard}"
        input:
            index=f"results/dataset/shards/{shard}.csv",
            classes="results/dataset/classes.csv",
            maps=files("results/cam/maps/{}.npy", images),
        output:
            labels=files("results/superpixels/{}.png", images),
        log:
            f"results/logs/pool_superpixels/{shard}.log",
        benchmark:
            f"results/benchmarks/pool_superpixels/{shard}.tsv"
        params:
            settings=settings(**config["superpixels"]),
        script:
            "../scripts/pool_superpixels.py"
