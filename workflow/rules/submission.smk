"""Test set. Needs the segmentation model; makes results/submission.tar.gz for VOC's server."""

FOLDER = "results/submission/results/VOC2012/Segmentation/comp6_test_cls"
# An image may be in val as well, where it has another shard.
TEST_SHARD_OF = {image: shard for shard in shards("test") for image in SHARDS[shard]}


rule predict_test:
    """Predictions for one shard of the test images, in VOC's own class indices."""
    input:
        network="results/segmentation/network.pt",
        dataset=index_of(images_of_job, "image"),
    output:
        manifest=f"{FOLDER}/{{shard}}.txt",
    log:
        "results/logs/predict_test/{shard}.log",
    benchmark:
        "results/benchmarks/predict_test/{shard}.tsv"
    threads: 8
    params:
        settings=settings(**config["segmentation"]["inference"]),
        images=images_of_job,
        data=data_of(images_of_job, "image"),
        index=INDEX,
        classes=CLASS_TABLE,
        predictions=f"{FOLDER}/{{}}.png",
        code=code_of("predict_segmentation"),
    script:
        "../scripts/predict_segmentation.py"


use rule predict_test as predict_test_of_image with:
    input:
        network="results/segmentation/network.pt",
        dataset=index_of(images_of_job, "image"),
        manifest=manifest_of_image(FOLDER, TEST_SHARD_OF),
    output:
        update(f"{FOLDER}/{{image}}.png"),
    log:
        "results/logs/predict_test/{image}.log",
    benchmark:
        "results/benchmarks/predict_test/{image}.tsv"


if IMAGES["test"]:

    rule submission:
        """The archive that VOC's server takes."""
        input:
            files_of_shards(FOLDER, shards("test")),
        output:
            "results/submission.tar.gz",
        log:
            "results/logs/submission.log",
        benchmark:
            "results/benchmarks/submission.tsv"
        params:
            images=IMAGES["test"],
            predictions=f"{FOLDER}/{{}}.png",
            folder="results/submission",
            code=code_of("submission"),
        script:
            "../scripts/submission.py"
