"""Published weights. Needs a file of them; makes network.pt of each stage that is not trained."""

for stage in ("cam", "affinity", "segmentation"):
    if not config[stage]["train"]:

        rule:
            """The network of one stage, from a file of weights alone."""
            name:
                f"import_{stage}_network"
            input:
                dataset=index_of([]),
                weights=weights_of(stage),
            output:
                network=f"results/{stage}/network.pt",
            log:
                f"results/logs/import_{stage}_network.log",
            benchmark:
                f"results/benchmarks/import_{stage}_network.tsv"
            params:
                stage=stage,
                data=data_of([], files=weights_of(stage)),
                classes=CLASS_TABLE,
                settings=settings(**config[stage]["network"]),
                code=code_of("import_weights"),
            script:
                "../scripts/import_weights.py"


if not config["cam"]["train"] and not config["cam"]["maps"]:

    ruleorder: import_cam_network > train_cam


if not config["affinity"]["train"]:

    ruleorder: import_affinity_network > train_affinity


if not config["segmentation"]["train"]:

    ruleorder: import_segmentation_network > train_segmentation
