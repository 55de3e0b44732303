"""The paper's tables. Needs scores of the stages; makes results/tables/*.csv when asked for."""

STAGE_TABLES = {
    "labels": ["superpixels", "cam", "walk", "labels"],  # table 1
    "val_labels": ["val_cam", "val_walk", "val_labels", "segmentation"],  # table 5
}

for table, scored in STAGE_TABLES.items():

    rule:
        """The mIoU of several stages beside the published figures (paper, tables 1 and 5)."""
        name:
            f"table_{table}"
        input:
            scores=[f"results/metrics/{name}.csv" for name in scored],
        output:
            f"results/tables/{table}.csv",
        log:
            f"results/logs/table_{table}.log",
        benchmark:
            f"results/benchmarks/table_{table}.tsv"
        localrule: True
        params:
            rows="stages",
            settings=settings(**config["tables"]),
            code=code_of("table"),
        script:
            "../scripts/table.py"


rule table_segmentation:
    """IoU of each class of the segmentation models on val (paper, tables 2 to 4)."""
    input:
        scores=[f"results/metrics/{model}.csv" for model in TRAINED_ON],
    output:
        "results/tables/segmentation.csv",
    log:
        "results/logs/table_segmentation.log",
    benchmark:
        "results/benchmarks/table_segmentation.tsv"
    localrule: True
    params:
        rows="models",
        settings=settings(**config["tables"]),
        models=list(TRAINED_ON),
        code=code_of("table"),
    script:
        "../scripts/table.py"
