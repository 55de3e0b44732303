"""Networks that are not trained. Needs files of weights; makes results/{stage}/network.safetensors."""

from psa_core.networks.metadata import check_frozen

NETWORKS = [
    f"results/{s}/network.safetensors" for s in STAGES if s != "cam" or not config["cam"]["maps"]
]
if not config["cam"]["maps"] and NETWORK_OF_MAPS not in NETWORKS:
    NETWORKS.append(NETWORK_OF_MAPS)
if config["freeze"]:
    with one_message():
        check_frozen(NETWORKS, DATA.classes, DATA.reading)
if not config["freeze"]:

    rule import_network:
        """The network of a stage with `train: false`, from its file of weights."""
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
            images=DATA.reading._asdict(),
            code=code_of("import_network"),
        script:
            "../scripts/import_network.py"

    ruleorder: import_network > train_affinity > train_segmentation
