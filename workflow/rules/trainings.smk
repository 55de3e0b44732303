"""What the trainings of the three networks share."""


def weights_of(stage):
    """The file of weights that a network starts with, or none; see `digest_of_weights`."""
    file = file_of_weights(config[stage])
    return ancient(file) if file else []


def digest_of_weights(stage):
    """A parameter that changes with the contents of that file, whose time does not count."""
    return contents_of(filter(None, [file_of_weights(config[stage])]))


def training_settings(stage, losses=None):
    """The parameter of a training: all sections that its network depends on."""
    return settings(
        network=config[stage]["network"],
        weights=digest_of_weights(stage),
        training=config[stage]["training"],
        losses=losses or {},
        cache=config["dataset"]["cache"],
        shards=DATA.shards("train_aug"),  # Snakemake ignores a table that is gone
        seed=config["seed"],
    )


def of_pseudo_labels(value):
    """An input function or parameter: a value, but nothing for the upper bound."""
    return lambda wildcards: value if wildcards.model == "segmentation" else []


if lines:
    lines.expect(
        {s: steps_of(config[s]["training"], len(DATA.images["train_aug"])) for s in STAGES}
    )

# Of the networks that this run trains.
LOSSES = [f"results/{stage}/losses.csv" for stage in trained_stages(config)]
