"""Class activation maps. Needs the index; makes results/cam/network.pt and results/cam/maps/."""


rule train_cam:
    """Train the classification network on image-level labels (paper, section 3.1)."""
    input:
        dataset=index_of(IMAGES["train_aug"], "image", "labels"),
        weights=weights_of("cam"),
        cache=CACHE,
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
            cache=config["dataset"]["cache"],
            seed=config["seed"],
        ),
        images=IMAGES["train_aug"],
        data=data_of(IMAGES["train_aug"], "image", "labels", files=weights_of("cam")),
        index=INDEX,
        classes=CLASS_TABLE,
        checkpoints="results/.checkpoints/cam",
        code=code_of("train_cam"),
    script:
        "../scripts/train_cam.py"


rule infer_cam:
    """Class activation maps of one shard of images (paper, eq. 1)."""
    input:
        network="results/cam/network.pt",
        dataset=index_of(images_of_job, "image", "labels"),
    output:
        manifest="results/cam/maps/{shard}.txt",
    log:
        "results/logs/infer_cam/{shard}.log",
    benchmark:
        "results/benchmarks/infer_cam/{shard}.tsv"
    threads: 8
    params:
        settings=settings(**config["cam"]["inference"]),
        images=images_of_job,
        data=data_of(images_of_job, "image", "labels"),
        index=INDEX,
        classes=CLASS_TABLE,
        maps="results/cam/maps/{}.npy",
        code=code_of("infer_cam"),
    script:
        "../scripts/infer_cam.py"


use rule infer_cam as infer_cam_of_image with:
    input:
        network="results/cam/network.pt",
        dataset=index_of(images_of_job, "image", "labels"),
        manifest=manifest_of_image("results/cam/maps"),
    output:
        update("results/cam/maps/{image}.npy"),
    log:
        "results/logs/infer_cam/{image}.log",
    benchmark:
        "results/benchmarks/infer_cam/{image}.tsv"
