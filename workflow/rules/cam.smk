"""Class activation maps. Needs image tables; makes results/cam/network.safetensors and results/cam/maps/.

With cam.prototypes.rounds above 0, the maps are those of results/cam/prototypes.safetensors.
"""

OF_MAPS = settings(**config["cam"]["inference"], longest_side=config["longest_side"])

if not config["freeze"]:

    ruleorder: import_network > train_cam

    rule train_cam:
        """Train the classification network on image-level labels (paper, section 3.1)."""
        input:
            images=tables("train_aug"),
            classes=CLASSES,
            weights=weights_of("cam"),
            cache=CACHE,
        output:
            network="results/cam/network.safetensors",
            losses="results/cam/losses.csv",
        log:
            "results/logs/train_cam.log",
        benchmark:
            "results/benchmarks/train_cam.tsv"
        threads: 8
        params:
            stage="cam",
            settings=training_settings("cam"),
            checkpoints="results/.checkpoints/cam",
            code=code_of("train", "psa_core.method.cam"),
        script:
            "../scripts/train.py"

    rule make_prototypes:
        """The network with prototypes in place of its classifier, from images of each class."""
        input:
            images=tables("train_aug"),
            network="results/cam/network.safetensors",
        output:
            network="results/cam/prototypes.safetensors",
        log:
            "results/logs/make_prototypes.log",
        benchmark:
            "results/benchmarks/make_prototypes.tsv"
        threads: 8
        params:
            settings=settings(
                **config["cam"]["prototypes"],
                scales=OF_MAPS["scales"],
                output_stride=OF_MAPS["output_stride"],
                longest_side=config["longest_side"],
            ),
            shards=DATA.shards("train_aug"),  # Snakemake ignores a table that is gone
            code=code_of("make_prototypes"),
        script:
            "../scripts/make_prototypes.py"


rule infer_cam:
    """Class activation maps of one shard of images (paper, eq. 1)."""
    input:
        images=of_shard("results/dataset/images/{}.csv"),
        network=NETWORK_OF_MAPS,
        shard=own_shard("results/cam/maps/{}.txt"),
    output:
        manifest="results/cam/maps/{shard}.txt",
    log:
        "results/logs/infer_cam/{shard}.log",
    benchmark:
        "results/benchmarks/infer_cam/{shard}.tsv"
    threads: 8
    params:
        settings=OF_MAPS,
        prototypes=config["cam"]["prototypes"]["rounds"] > 0,  # another file alone reruns nothing
        maps="results/cam/maps/{}.npy",
        code=code_of("infer_cam"),
    script:
        "../scripts/infer_cam.py"


use rule infer_cam as infer_cam_of_image with:
    output:
        update("results/cam/maps/{image}.npy"),
    log:
        "results/logs/infer_cam/{image}.log",
    benchmark:
        "results/benchmarks/infer_cam/{image}.tsv"
    priority: 1
