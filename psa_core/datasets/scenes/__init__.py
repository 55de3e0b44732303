"""The built-in data set: painted scenes of five animals and people, in the layout of VOC 2012.

What the Snakefile reads at each start is here, without imports; `generate` draws.
"""

CLASSES = ("cat", "cow", "dog", "horse", "person", "sheep")
FIRST_VAL = 50_001  # val scenes are numbered from here, so that train may grow and val stays


def image_names(train: int, val: int) -> dict[str, list[str]]:
    """Names of the scenes of each split; train_aug is train. Raises ValueError if too many."""
    if not 0 <= train < FIRST_VAL or not 0 <= val < FIRST_VAL:
        raise ValueError(f"train={train}, val={val}: each must be between 0 and {FIRST_VAL - 1}")
    names = [f"scene_{number:05}" for number in range(1, train + 1)]
    val_names = [f"scene_{number:05}" for number in range(FIRST_VAL, FIRST_VAL + val)]
    return {"train_aug": names, "train": list(names), "val": val_names}
