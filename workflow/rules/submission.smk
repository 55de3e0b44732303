"""Test set. Needs the segmentation model; makes results/submission.tar.gz for VOC's server."""

SUBMISSION = "results/submission/results/VOC2012/Segmentation/comp6_test_cls/{}.png"

for shard, images in TEST_SHARDS.items():

    rule:
        """Predictions for one shard of the test images, in VOC's own class indices."""
        name:
            f"predict_test_{shard}"
        input:
            network="results/segmentation/network.pt",
            index=f"results/dataset/shards/{shard}.csv",
            classes="results/dataset/classes.csv",
        output:
            predictions=files(SUBMISSION, images),
        log:
            f"results/logs/predict_test/{shard}.log",
        benchmark:
            f"results/benchmarks/predict_test/{shard}.tsv"
        threads: 8
        params:
            settings=settings(**config["segmentation"]["inference"]),
        script:
            "../scripts/predict_test.py"


if IMAGES["test"]:

    rule submission:
        """The archive that VOC's server takes."""
        input:
            files(SUBMISSION, IMAGES["test"]),
        output:
            "results/submission.tar.gz",
        log:
            "results/logs/submission.log",
        benchmark:
            "results/benchmarks/submission.tsv"
        params:
            folder="results/submission",
        script:
            "../scripts/submission.py"
