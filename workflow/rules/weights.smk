"""Published weights. Needs a file of them; makes network.pt of each stage that is not trained."""

for stage in ("cam", "affinity", "segmentation"):
    if not config[stage]["train"]:

        rule:
            """The network of one stage, from a file of weights alone."""
            name:
                f"import_{stage}"
            input:
                classes="results/dataset/classes.csv",
                weights=weights_of(stage),
            output:
                network=f"results/{stage}/network.pt",
            log:
                f"results/logs/import_{stage}.log",
            benchmark:
                f"results/benchmarks/import_{stage}.tsv"
            params:
                stage=stage,
                settings=settings(**config[stage]["network"]),
            script:
                "../scripts/import_weights.py"


if not config["cam"]["train"]:

    ruleorder: import_cam > train_cam


if not config["affinity"]["train"]:

    ruleorder: import_affinity > train_affinity


if not config["segmentation"]["train"]:

    ruleorder: import_segmentation > train_segmentation
