"""The stages that have a network of their own, and how long it is trained."""

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


def length_of(
    images: int, epochs: int, batch_size: int, least_steps: int, *, devices: int = 1
) -> dict[str, int]:
    """Length of a training on so few or many images: {"epochs", "passes", "batch_size"}.

    epochs, batch_size: as configured. The batch size is reduced to the number of images if that is
    smaller, and stays a multiple of the devices. `passes` per epoch is the smallest number that
    gives at least `least_steps` steps in all.
    """
    batch_size = min(batch_size, max(1, images // devices) * devices)
    steps = max(1, images // batch_size)
    passes = max(1, -(-least_steps // (epochs * steps)))
    return {"epochs": epochs, "passes": passes, "batch_size": batch_size}


def steps_of(training: dict, images: int) -> int:
    """The number of steps of a training.

    training: the config section of that name. images: how many it reads.
    """
    keys = ("epochs", "batch_size", "least_steps")
    length = length_of(images, **{key: training[key] for key in keys})
    return length["epochs"] * length["passes"] * max(1, images // length["batch_size"])
