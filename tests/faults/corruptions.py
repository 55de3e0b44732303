"""What may be wrong with the files of a small data set, its configuration, weights and results.

Each corruption changes one thing in the folder of a finished run (soak.py) and says what must come
of it.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from damages import PLAIN, SUBTLE, a_folder, emptied, gone, noise, truncated, zeros
from PIL import Image
from safetensors.numpy import load_file, save_file


class Expected(NamedTuple):
    """What must come of a corruption.

    names: an error must contain one of these. None: the run must succeed.
    may_succeed: the run may also end as if nothing had been changed.
    result: the result that was changed or deleted, relative to the folder; None: an input was.
    forced: rules that must run again, since they read that result.
    """

    names: tuple[str, ...] | None
    may_succeed: bool = False
    result: str | None = None
    forced: tuple[str, ...] = ()


SAME = Expected(None)
Corruption = Callable[[Path, random.Random], tuple[str, Expected]]


def any_of(folder: Path, pattern: str, chance: random.Random) -> Path:
    return chance.choice(sorted(folder.glob(pattern)))


# --- inputs ---------------------------------------------------------------------------------------


def an_image(folder: Path, chance: random.Random) -> tuple[str, Expected]:
    """PNG has check sums; what is changed a little in a JPEG may be another image."""
    damage = chance.choice([*PLAIN, *SUBTLE, gone])
    path = any_of(folder, "data/images/*.png" if damage in SUBTLE else "data/images/*", chance)
    damage(path, chance)
    return f"{damage.__name__} {path.name}", Expected((path.name,), damage in SUBTLE)


def a_mask(folder: Path, chance: random.Random) -> tuple[str, Expected]:
    path = any_of(folder, "data/masks/*.png", chance)
    damage = chance.choice([*PLAIN, *SUBTLE])
    damage(path, chance)
    return f"{damage.__name__} mask {path.name}", Expected(
        (f"masks/{path.name}",), damage in SUBTLE
    )


def another_mask(folder: Path, chance: random.Random) -> tuple[str, Expected]:
    path = any_of(folder, "data/masks/*.png", chance)
    mask = np.array(Image.open(path))
    kind = chance.choice(["colours", "size", "index", "16 bits", "JPEG"])
    if kind == "colours":
        Image.fromarray(np.stack([mask] * 3, -1) * 40).save(path)
    elif kind == "size":
        Image.fromarray(mask[:-1]).save(path)
    elif kind == "index":
        mask[0, chance.randrange(mask.shape[1])] = 77
        Image.fromarray(mask).save(path)
    elif kind == "16 bits":
        Image.fromarray(mask.astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(mask).save(path, "JPEG")
    return f"mask {path.name}: {kind}", Expected((f"masks/{path.name}",))


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


def labels(folder: Path, chance: random.Random) -> tuple[str, Expected]:
    path = folder / "data/labels.csv"
    header, *rows = lines_of(path)
    at = chance.randrange(len(rows))
    image, shown, *rest = rows[at].split(",")
    changes = {
        "another case": ",".join([image, shown.upper(), *rest]),
        "no label": ",".join([image, "", *rest]),
        "unknown image": ",".join(["nowhere.png", shown, *rest]),
        "field too many": rows[at] + ",x",
        "bracket": ",".join([image, f"[{shown}", *rest]),
        "a NUL": rows[at].replace(shown, shown[:1] + "\0" + shown[1:]),
        "the header again": header,
        "unknown split": ",".join([image, shown, "tarin"]),
    }
    kind = chance.choice(list(changes))
    rows[at] = changes[kind]
    path.write_text("\n".join([header, *rows]) + "\n")
    return f"labels.csv, line {at + 2}: {kind}", Expected(("labels.csv", image, "nowhere"))


def whole_table(folder: Path, chance: random.Random) -> tuple[str, Expected]:
    path = folder / "data/labels.csv"
    damage = chance.choice([*PLAIN, gone])
    damage(path, chance)
    return f"{damage.__name__} labels.csv", Expected(("labels.csv",))


def labels_written_otherwise(folder: Path, chance: random.Random) -> tuple[str, Expected]:
    """The same table as other programs write it."""
    path = folder / "data/labels.csv"
    header, *rows = lines_of(path)
    kind = chance.choice(["BOM", "CRLF", "order", "quotes", "blanks", "blank lines", "UTF-16"])
    text = "\n".join([header, *rows]) + "\n"
    expected = SAME
    if kind == "BOM":
        path.write_text(text, encoding="utf-8-sig")
    elif kind == "CRLF":
        path.write_bytes(text.replace("\n", "\r\n").encode())
    elif kind == "order":
        chance.shuffle(rows)
        path.write_text("\n".join([header, *rows]))
    elif kind == "quotes":
        quoted = (",".join(f'"{field}"' for field in row.split(",")) for row in rows)
        path.write_text("\n".join([header, *quoted]) + "\n")
    elif kind == "blanks":
        path.write_text("\n".join([header, *(row.replace(",", " , ") for row in rows)]) + "\n")
    elif kind == "blank lines":
        path.write_text("\n\n".join([header, *rows]) + "\n\n")
    else:
        path.write_text(text, encoding="utf-16")
        expected = Expected(("labels.csv",), may_succeed=True)
    return f"labels.csv with {kind}", expected


def a_list(folder: Path, chance: random.Random) -> tuple[str, Expected]:
    path = folder / "data" / chance.choice(["train.txt", "val.txt"])
    names = lines_of(path)
    kind = chance.choice(["unknown", "BOM", "CRLF", "order", "damage"])
    if kind == "unknown":
        path.write_text("\n".join([*names, "nowhere"]) + "\n")
        return f"{path.name}: unknown image", Expected(("nowhere",))
    if kind == "damage":
        damage = chance.choice([*PLAIN, gone])
        damage(path, chance)
        return f"{damage.__name__} {path.name}", Expected((path.name,))
    if kind == "BOM":
        path.write_text("\n".join(names) + "\n", encoding="utf-8-sig")
    elif kind == "CRLF":
        path.write_bytes(("\r\n".join(names) + "\r\n").encode())
    else:
        chance.shuffle(names)
        path.write_text("\n".join(names) + "\n")
    return f"{path.name} with {kind}", SAME


# --- configuration --------------------------------------------------------------------------------


def numbers_of(section: dict, path: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    """The paths of all numbers in a configuration."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from numbers_of(value, (*path, key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield (*path, key)


def a_setting(folder: Path, chance: random.Random) -> tuple[str, Expected]:
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    keys = chance.choice(sorted(numbers_of(config)))
    section = config
    for key in keys[:-1]:
        section = section[key]
    kind = chance.choice(["text", "NaN", "infinity", "negative", "list", "misspelled"])
    if kind == "misspelled":
        section[keys[-1] + "x"] = section.pop(keys[-1])
    else:
        others = {"text": "many", "NaN": float("nan"), "infinity": float("inf")}
        section[keys[-1]] = {**others, "negative": -3, "list": [1, [2]]}[kind]
    path.write_text(yaml.safe_dump(config))
    return f"{'.'.join(keys)}: {kind}", Expected((".".join(keys),))


def a_configuration(folder: Path, chance: random.Random) -> tuple[str, Expected]:
    path = folder / "config.yaml"
    # Not another encoding than UTF-8: Snakemake fails before it reads the Snakefile.
    kind = chance.choice(["twice", "unclosed", "tab", "a list", "unknown key"])
    names = ("config.yaml", "Config file")  # Snakemake's own words
    if kind == "twice":
        path.write_text(path.read_text() + "\nwalk: {t: 4, t: 5}\n")
    elif kind == "unclosed":
        path.write_text(path.read_text() + "\nwalk: {t: 4\n")
    elif kind == "tab":
        path.write_text(path.read_text() + "\nwalk:\n\tt: 4\n")
    elif kind == "a list":
        path.write_text("- walk\n- cam\n")
    else:
        path.write_text(path.read_text() + "\nwlak: {t: 4}\n")
        names = ("wlak",)
    return f"config.yaml: {kind}", Expected(names)


# --- weights --------------------------------------------------------------------------------------


def weights(folder: Path, chance: random.Random) -> tuple[str, Expected]:
    stage = chance.choice(["cam", "affinity", "segmentation"])
    path = folder / f"weights/{stage}.safetensors"
    kind = chance.choice(["damage", "another stage", "a tensor less", "another shape", "NaN"])
    if kind == "damage":
        damage = chance.choice([truncated, *PLAIN, gone])
        damage(path, chance)
        kind = damage.__name__
    elif kind == "another stage":
        other = chance.choice([s for s in ("cam", "affinity", "segmentation") if s != stage])
        shutil.copy(folder / f"weights/{other}.safetensors", path)
    else:
        tensors = load_file(path)
        name = chance.choice(sorted(n for n, value in tensors.items() if value.ndim > 1))
        if kind == "a tensor less":
            del tensors[name]
        elif kind == "another shape":
            tensors[name] = np.ascontiguousarray(tensors[name][:-1])
        else:
            tensors[name] = np.full_like(tensors[name], np.nan)
        save_file(tensors, path)
    # A finished run has its own copy, and needs them no more.
    is_gone = kind == gone.__name__
    return f"weights of {stage}: {kind}", Expected((path.name, f"{stage}.network"), is_gone)


# --- results --------------------------------------------------------------------------------------

# Files of images, and the rules that read them.
RESULTS = {
    "dataset/masks/*.png": ("evaluate_cam", "evaluate_segmentation"),
    "cam/maps/*.npy": ("make_affinity_labels", "run_walk"),
    "affinity/edges/*.h5": ("run_walk",),
    "walk/scores/*.npy": ("make_pseudo_labels",),
    "walk/labels/*.png": ("evaluate_walk",),
    "pseudo_labels/*.png": ("evaluate_pseudo_labels", "draw_review"),
    "segmentation/predictions/*.png": ("evaluate_segmentation",),
    "dataset/images/*.csv": ("infer_cam", "make_pseudo_labels"),
    "dataset/masks/*_0.txt": ("evaluate_cam", "figure_stages"),
    "cam/maps/*_0.txt": ("run_walk",),
    "pseudo_labels/*_0.txt": ("draw_review", "review"),
}


def a_result(folder: Path, chance: random.Random) -> tuple[str, Expected]:
    pattern = chance.choice(list(RESULTS))
    path = any_of(folder / "results", pattern, chance)
    damage = chance.choice([*SUBTLE, emptied, zeros, noise, a_folder])
    damage(path, chance)
    name = str(path.relative_to(folder))
    return f"{damage.__name__} {name}", Expected((name,), True, name, RESULTS[pattern])


def exchanged_results(folder: Path, chance: random.Random) -> tuple[str, Expected]:
    """A file of one image lies where that of another belongs."""
    pattern = chance.choice([each for each in RESULTS if each.endswith(("png", "npy"))])
    path, other = chance.sample(sorted((folder / "results").glob(pattern)), 2)
    shutil.copy(other, path)
    name = str(path.relative_to(folder))
    return f"{other.name} as {name}", Expected((name,), True, name, RESULTS[pattern])


def a_deleted_result(folder: Path, chance: random.Random) -> tuple[str, Expected]:
    files = [path for path in sorted((folder / "results").rglob("*")) if path.is_file()]
    path = chance.choice([path for path in files if is_kept(path.relative_to(folder / "results"))])
    path.unlink()
    name = str(path.relative_to(folder))
    return f"deleted {name}", Expected(None, result=name)


def is_kept(path: Path) -> bool:
    """Whether a deleted result comes back: no log, and nothing that no later job reads.

    Here AffinityNet is not trained, so nothing reads affinity labels. Pictures of the review page
    are drawn again by --forcerun draw_review (docs/files.md).
    """
    return path.parts[0] not in ("logs", "benchmarks", "affinity_labels", "review")


def a_deleted_folder(folder: Path, chance: random.Random) -> tuple[str, Expected]:
    results = folder / "results"
    folders = sorted(path for path in results.rglob("*") if path.is_dir())
    path = chance.choice([each for each in folders if each.parent != results / "review"])
    shutil.rmtree(path)
    name = str(path.relative_to(folder))
    return f"deleted folder {name}", Expected(None, result=name)


CORRUPTIONS: dict[Corruption, int] = {  # and how often, in proportion
    an_image: 5,
    a_mask: 3,
    another_mask: 2,
    labels: 3,
    whole_table: 1,
    labels_written_otherwise: 2,
    a_list: 2,
    a_setting: 3,
    a_configuration: 2,
    weights: 4,
    a_result: 6,
    exchanged_results: 2,
    a_deleted_result: 3,
    a_deleted_folder: 1,
}
