"""Test set. Needs the segmentation model; makes results/submission.tar.gz for VOC's server."""

FOLDER = "results/submission/results/VOC2012/Segmentation/comp6_test_cls"


rule predict_test:
    """Predictions for one shard of the test images, in VOC's own class indices."""
    input:
        images=of_shard("results/dataset/images/{}.csv", "test"),
        network="results/segmentation/network.safetensors",
        shard=own_shard(f"{FOLDER}/{{}}.txt", "test"),
    output:
        manifest=f"{FOLDER}/{{shard}}.txt",
    log:
        "results/logs/predict_test/{shard}.log",
    benchmark:
        "results/benchmarks/predict_test/{shard}.tsv"
    threads: 8
    params:
        settings=settings(
            **config["segmentation"]["inference"], longest_side=config["longest_side"]
        ),
        mask_values=DATA.mask_values,
        predictions=f"{FOLDER}/{{}}.png",
        code=code_of("predict_segmentation"),
    script:
        "../scripts/predict_segmentation.py"


use rule predict_test as predict_test_of_image with:
    output:
        update(f"{FOLDER}/{{image}}.png"),
    log:
        "results/logs/predict_test/{image}.log",
    benchmark:
        "results/benchmarks/predict_test/{image}.tsv"


if DATA.images["test"]:

    rule submission:
        """The archive that VOC's server takes."""
        input:
            predictions=of_shards(f"{FOLDER}/{{}}.png", DATA.shards("test")),
            deleted=deleted(f"{FOLDER}/{{}}.png", "test"),
        output:
            "results/submission.tar.gz",
        log:
            "results/logs/submission.log",
        benchmark:
            "results/benchmarks/submission.tsv"
        params:
            predictions=f"{FOLDER}/{{}}.png",
            folder="results/submission",
            shards=DATA.shards("test"),
            code=code_of("submission"),
        script:
            "../scripts/submission.py"
