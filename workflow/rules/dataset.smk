"""Data set. Needs the user's files; makes results/dataset/index.csv, checked, that all else reads."""

SCENES = "results/dataset/scenes"
DATASET = config["dataset"]

if DATASET["format"] == "scenes":
    # Once drawn, the scenes are a VOC devkit like any other.
    DATASET = {**DATASET, "format": "voc", "root": SCENES, "classes": list(SCENE_CLASSES)}

    rule generate_scenes:
        """Draw the built-in data set."""
        output:
            directory(SCENES),
        log:
            "results/logs/generate_scenes.log",
        benchmark:
            "results/benchmarks/generate_scenes.tsv"
        params:
            settings=settings(scenes=config["dataset"]["scenes"], seed=config["seed"]),
        script:
            "../scripts/generate_scenes.py"


rule prepare_dataset:
    """Check every image, label and mask; write the index."""
    input:
        label_files(config["dataset"]) or SCENES,
    output:
        # Not removed before they are made again: jobs of images that are as before may read them.
        index=update(INDEX),
        classes=update(CLASS_TABLE),
        contents=update(INDEXED),
    log:
        "results/logs/prepare_dataset.log",
    benchmark:
        "results/benchmarks/prepare_dataset.tsv"
    params:
        settings=settings(
            dataset=DATASET,
            lists=digest(IMAGES),
            scored=digest(SCORED),
            contents=digest(CONTENTS),
        ),
        cache=".snakemake/contents.json",
    script:
        "../scripts/prepare_dataset.py"
