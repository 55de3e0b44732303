"""The stages that have a network of their own."""

STAGES = ("cam", "affinity", "segmentation")
NO_FILES = ("imagenet", "random")  # values of network.weights that are not file names


def trained_stages(config: dict) -> list[str]:
    """The stages whose network a run trains, unless it has `freeze`."""
    return [s for s in STAGES if config[s]["train"] and not (s == "cam" and config[s]["maps"])]


def file_of_weights(section: dict) -> str | None:
    """The file with a stage's initial weights; None for ImageNet or random weights.

    section: the config section of the stage, for example config["cam"].
    """
    weights = section["network"]["weights"]
    return None if weights in NO_FILES else weights
