"""Networks that are not trained. Needs files of weights; makes results/{stage}/network.safetensors."""

NETWORKS = [
    f"results/{s}/network.safetensors" for s in STAGES if s != "cam" or not config["cam"]["maps"]
]
if config["freeze"] and (missing := [file for file in NETWORKS if not os.path.exists(file)]):
    raise ConfigError(f"freeze: true, but there is no {', '.join(missing)}; run without it first")
if not config["freeze"]:

    rule import_network:
        """The network of a stage that is not trained, from a file of weights alone."""
        input:
            classes=CLASSES,
            weights=lambda w: weights_of(w.stage),
        output:
            network="results/{stage}/network.safetensors",
        log:
            "results/logs/import_network/{stage}.log",
        benchmark:
            "results/benchmarks/import_network/{stage}.tsv"
        wildcard_constraints:
            stage="|".join(stage for stage in STAGES if not config[stage]["train"]) or "none",
        params:
            stage="{stage}",
            settings=lambda w: settings(**config[w.stage]["network"]),
            weights=lambda w: digest_of_weights(w.stage),
            code=code_of("import_network"),
        script:
            "../scripts/import_network.py"

    ruleorder: import_network > train_affinity > train_segmentation
