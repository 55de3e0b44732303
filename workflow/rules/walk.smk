"""Random walk. Needs class maps and edges; makes results/walk/scores/ and results/walk/labels/."""

for shard, images in SHARDS.items():

    rule:
        """Spread the class maps of one shard over its affinities (paper, eq. 11 and 12)."""
        name:
            f"random_walk_{shard}"
        input:
            index=f"results/dataset/shards/{shard}.csv",
            classes="results/dataset/classes.csv",
            maps=files("results/cam/maps/{}.npy", images),
            edges=f"results/affinity/edges/{shard}.h5",
        output:
            scores=files("results/walk/scores/{}.npy", images),
            labels=files("results/walk/labels/{}.png", images),
        log:
            f"results/logs/random_walk/{shard}.log",
        benchmark:
            f"results/benchmarks/random_walk/{shard}.tsv"
        params:
            settings=settings(**config["walk"], gamma=config["affinity"]["pairs"]["gamma"]),
        script:
            "../scripts/random_walk.py"
