"""The paper's tables. Needs scores of the stages; makes results/tables/*.csv when asked for."""

# Score files of each table's rows. The segmentation table has the classes as rows.
SCORES_OF_TABLE = {
    "labels": ["superpixels", "cam", "walk", "pseudo_labels"],  # table 1
    "segmentation": list(LABELS_OF_MODEL),  # tables 2 to 4
    "val_labels": ["val_cam", "val_walk", "val_pseudo_labels", "segmentation"],  # table 5
}

for table, scored in SCORES_OF_TABLE.items():

    rule:
        """Scores of several stages beside the published figures (paper, tables 1 to 5)."""
        name:
            f"table_{table}"
        input:
            scores=[f"results/metrics/{name}.csv" for name in scored],
        output:
            f"results/tables/{table}.csv",
        log:
            f"results/logs/table_{table}.log",
        localrule: True
        params:
            rows="models" if table == "segmentation" else "stages",
            scored=scored,
            settings=settings(**config["tables"]),
            code=code_of("table"),
        script:
            "../scripts/table.py"
