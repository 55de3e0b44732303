"""Pseudo labels. Needs walk scores and images; makes results/labels/{image}.png."""


rule refine_labels:
    """Pseudo labels of one shard: dense CRF, then arg max (paper, section 3.3)."""
    input:
        dataset=index_of(images_of_job, "image", "labels"),
        scores=of_images("results/walk/scores/{}.npy"),
    output:
        manifest="results/labels/{shard}.txt",
    log:
        "results/logs/refine_labels/{shard}.log",
    benchmark:
        "results/benchmarks/refine_labels/{shard}.tsv"
    threads: threads_beside(len(shards("train_aug")))
    params:
        settings=settings(**config["labels"]),
        images=images_of_job,
        data=data_of(images_of_job, "image", "labels"),
        index=INDEX,
        classes=CLASS_TABLE,
        scores="results/walk/scores/{}.npy",
        labels="results/labels/{}.png",
        code=code_of("refine_labels"),
    script:
        "../scripts/refine_labels.py"


use rule refine_labels as refine_labels_of_image with:
    input:
        dataset=index_of(images_of_job, "image", "labels"),
        scores=of_images("results/walk/scores/{}.npy"),
        manifest=manifest_of_image("results/labels"),
    output:
        update("results/labels/{image}.png"),
    log:
        "results/logs/refine_labels/{image}.log",
    benchmark:
        "results/benchmarks/refine_labels/{image}.tsv"
    threads: 1
