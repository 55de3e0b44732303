"""Review page. Needs pseudo labels and their check; makes results/review/index.html and its files."""

from psa_core.delivery.review import PAGE_FILES

REVIEW = "results/review/index.html"
DRAWN = "results/review/labels/{}.js"


rule draw_review:
    """Pictures of one shard of images and their pseudo labels, in the folder of the page."""
    input:
        images=of_shard("results/dataset/images/{}.csv"),
        made=of_shard("results/pseudo_labels/{}.txt"),
    output:
        manifest="results/review/labels/{shard}.txt",
    log:
        "results/logs/draw_review/{shard}.log",
    benchmark:
        "results/benchmarks/draw_review/{shard}.tsv"
    priority: 1  # before the segmentation model is trained
    threads: 8
    params:
        labels="results/pseudo_labels/{}.png",
        drawn=DRAWN,
        code=code_of("draw_review"),
    script:
        "../scripts/draw_review.py"


rule review:
    """The page to look at all pseudo labels, worst first, and to decide about them."""
    input:
        images=tables("train_aug"),
        classes=CLASSES,
        checks=CHECKS,
        labels=of_shards("results/pseudo_labels/{}.png", DATA.shards("train_aug")),
        pictures=of_shards(DRAWN, DATA.shards("train_aug")),
    output:
        REVIEW,
    log:
        "results/logs/review.log",
    priority: 1
    localrule: True
    params:
        settings=settings(decisions=DATA.decisions, corrected=list(DATA.corrections)),
        page=list(DIGESTS.of(PAGE_FILES).values()),
        code=code_of("review"),
    script:
        "../scripts/review.py"
