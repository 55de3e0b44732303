"""Sweeps. Needs class maps, edges and true masks; makes results/sweeps/ when asked for."""


rule sweep_walk:
    """Walk one shard with every combination of settings and count against the true masks."""
    input:
        images="results/dataset/images/{shard}.csv",
        classes=CLASSES,
        scored="results/dataset/scored_train.txt",
        masks=of_images(MASKS),
        maps=of_images("results/cam/maps/{}.npy"),
        edges="results/affinity/edges/{shard}.h5",
    output:
        "results/sweeps/walk/{shard}.csv",
    log:
        "results/logs/sweep_walk/{shard}.log",
    benchmark:
        "results/benchmarks/sweep_walk/{shard}.tsv"
    params:
        settings=settings(
            **config["sweeps"]["walk"],
            gamma=config["affinity"]["pairs"]["gamma"],
            tolerance=config["walk"]["tolerance"],
            scale_t=config["walk"]["scale_t"],
        ),
        masks=MASKS,
        maps="results/cam/maps/{}.npy",
        code=code_of("sweep_walk"),
    script:
        "../scripts/sweep_walk.py"


rule table_walk_sweep:
    """The mIoU of every combination, as a table and a figure (paper, figure 8)."""
    input:
        classes=CLASSES,
        scored="results/dataset/scored_train.txt",
        counts=[f"results/sweeps/walk/{shard}.csv" for shard in DATA.shards("train_aug")],
    output:
        table="results/sweeps/walk.csv",
        figure=report("results/sweeps/walk.png", caption="../report/sweep.rst", category="Scores"),
    log:
        "results/logs/table_walk_sweep.log",
    localrule: True
    params:
        code=code_of("table_walk_sweep"),
    script:
        "../scripts/table_walk_sweep.py"
