"""The model to hand on. Needs the segmentation model and the scores; makes results/model.safetensors."""


rule package_model:
    """The segmentation model with its metadata in one file, and its model card."""
    input:
        network="results/segmentation/network.safetensors",
        metrics=METRICS,
    output:
        model="results/model.safetensors",
        card="results/model_card.md",
    log:
        "results/logs/package_model.log",
    localrule: True
    params:
        settings=settings(
            inference={
                **config["segmentation"]["inference"],
                "longest_side": config["longest_side"],
            },
            **config["model"],
        ),
        code=code_of("package_model"),
    script:
        "../scripts/package_model.py"
