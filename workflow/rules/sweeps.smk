"""Sweeps. Needs class maps, edges and true masks; makes results/sweeps/ when asked for."""


rule sweep_random_walk:
    """Walk one shard with every combination of settings and count against the true masks."""
    input:
        dataset=index_of(images_of_job_in(SCORED["train"]), "image", "labels", "mask"),
        maps=of_images("results/cam/maps/{}.npy"),
        edges=of_shard("results/affinity/edges/{}.h5"),
    output:
        "results/sweeps/random_walk/{shard}.csv",
    log:
        "results/logs/sweep_random_walk/{shard}.log",
    benchmark:
        "results/benchmarks/sweep_random_walk/{shard}.tsv"
    params:
        settings=settings(
            **config["sweeps"]["walk"],
            gamma=config["affinity"]["pairs"]["gamma"],
            tolerance=config["walk"]["tolerance"],
        ),
        images=images_of_job_in(SCORED["train"]),
        data=data_of(images_of_job_in(SCORED["train"]), "image", "labels", "mask"),
        index=INDEX,
        classes=CLASS_TABLE,
        maps="results/cam/maps/{}.npy",
        code=code_of("sweep_random_walk"),
    script:
        "../scripts/sweep_random_walk.py"


rule table_sweep:
    """The mIoU of every combination, as a table and a figure (paper, figure 8)."""
    input:
        dataset=index_of([]),
        counts=[f"results/sweeps/random_walk/{s}.csv" for s in shards_with(SCORED["train"])],
    output:
        table="results/sweeps/random_walk.csv",
        figure="results/sweeps/random_walk.png",
    log:
        "results/logs/table_sweep.log",
    benchmark:
        "results/benchmarks/table_sweep.tsv"
    localrule: True
    params:
        images=len(SCORED["train"]),
        data=data_of([]),
        classes=CLASS_TABLE,
        code=code_of("table_sweep"),
    script:
        "../scripts/table_sweep.py"
