"""The stages that have a network of their own."""

STAGES = ("cam", "affinity", "segmentation")


def trained_stages(config: dict) -> list[str]:
    """The stages whose network a run trains, unless it has `freeze`."""
    return [s for s in STAGES if config[s]["train"] and not (s == "cam" and config[s]["maps"])]
