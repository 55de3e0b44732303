"""What reruns after a change of a config key, of the code, or of nothing that matters.

The tables of config/README.md, *What reruns when*, are read and compared with dry runs.
"""

import ast
import copy
import os
import re
import shutil
import subprocess
import sys
from modulefinder import ModuleFinder
from pathlib import Path

import pytest
import yaml
from dry_runs import ROOT, TARGETS, DryRun, rules_to_run
from PIL import Image
from seeds import TINY_YAML
from test_workflow import snakemake

from psa_core.config import ConfigError, complete, describe

SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
KEYS = [line.split("`")[1] for line in describe(SCHEMA).splitlines()[2:]]
TINY = complete(yaml.safe_load(TINY_YAML.read_text()), SCHEMA)
SCENES = "results/dataset/scenes"
INDEX = "results/dataset/index.csv"
CLASSES = ["cat", "cow", "dog", "horse", "person", "sheep"]


# --- the tables of the documentation --------------------------------------------------------------


def read_table(heading: str) -> dict[str, str]:
    """{each name of the first column: the text of the second}; names are in backticks."""
    text = (ROOT / "config/README.md").read_text()
    rows = text.split(heading, 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    table: dict[str, str] = {}
    for row in rows:
        first, second = row.strip("|").split("|")
        for name in names_in(first):
            assert name not in table, f"{name} has two rows"
            table[name] = second.strip()
    return table


def names_in(text: str) -> set[str]:
    return set(re.findall(r"`([\w.]+)`", text))


RERUNS = read_table("| a change in | reruns |\n")
READERS = {
    rule: names_in(text) for rule, text in read_table("| results of | are read by |\n").items()
}


def rules_of(row: str) -> set[str]:
    """The rules of a row of the first table: with all that follows, or only those named."""
    if row.startswith("only"):
        return names_in(row)
    first, _, exceptions = row.partition("but not")
    return following(names_in(first)) - names_in(exceptions)


def following(first: set[str]) -> set[str]:
    """These rules and all that read their results, directly or not."""
    found, waiting = set(), list(first)
    # The upper bound has the rules of the segmentation model, but not its labels.
    if first & {"train_segmentation", "predict_segmentation"}:
        waiting.append("evaluate_upper_bound")
    while waiting:
        rule = waiting.pop()
        if rule not in found:
            found.add(rule)
            waiting += READERS.get(rule, ())
    return found - {"predict_test", "submission"}  # without a test set there are none


def row_of(key: str) -> str:
    """The row of a key: its own, or that of the innermost section with one; else the key."""
    parts = key.split(".")
    names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((name for name in names if name in RERUNS), key)


def test_each_key_has_a_row_and_each_row_a_key():
    assert {row_of(key) for key in KEYS} == RERUNS.keys()


# --- finished runs --------------------------------------------------------------------------------


def write(path: Path, config: dict) -> Path:
    path.write_text(yaml.safe_dump(config))
    return path


def touched(folder: Path, config: dict) -> Path:
    """Make the results in a folder count as those of another configuration; the index is made."""
    command = [Path(sys.executable).parent / "snakemake", "--snakefile", ROOT / "Snakefile"]
    command += ["--directory", folder, "--cores", "2", "--workflow-profile"]
    command += [ROOT / "profiles/default", "--configfile", write(folder / "config.yaml", config)]
    for step in (["--force", "--", INDEX], ["--touch", "--forceall", "--", *TARGETS]):
        subprocess.run([*command, *step], check=True, capture_output=True)
    return folder


def with_changes(config: dict, changes: dict[str, object]) -> dict:
    config = copy.deepcopy(config)
    for key, value in changes.items():
        *sections, name = key.split(".")
        section = config
        for part in sections:
            section = section[part]
        section[name] = value
    return config


@pytest.fixture(scope="session")
def runs(finished, tmp_path_factory) -> dict[str, tuple[Path, dict]]:
    """Finished runs of the same scenes as each format, by format: folder, configuration."""
    folder = tmp_path_factory.mktemp("reruns")
    found = {}
    scenes = finished / SCENES
    voc = {"format": "voc", "root": "devkit", "train_aug": "train", "classes": CLASSES}
    own = {"format": "folder", "root": "own", "val_fraction": 0.25}
    for name, dataset in {"scenes": {}, "voc": voc, "folder": own}.items():
        run = folder / name
        shutil.copytree(finished, run, symlinks=True)
        config = with_changes(TINY, {f"dataset.{key}": value for key, value in dataset.items()})
        shutil.copytree(scenes, run / "devkit")
        lists = run / "devkit/ImageSets/Segmentation"
        for part in ("train", "val"):
            images = (lists / f"{part}.txt").read_text().split()
            (lists / f"fewer_{part}.txt").write_text("\n".join(images[1:]))
        shutil.copytree(run / "devkit/JPEGImages", run / "own/images")
        shutil.copytree(run / "devkit/SegmentationClass", run / "own/masks")
        for mask in (run / "own/masks").iterdir():
            Image.open(mask).point(lambda value: value and 1).save(mask)  # a cat, or none
        images = [path.name for path in (run / "own/images").iterdir()]
        rows = [f"{image},cat" for image in sorted(images)]
        (run / "own/labels.csv").write_text("\n".join(["image,labels", *rows]))
        (run / "start.pt").touch()
        found[name] = (run if name == "scenes" else touched(run, config), config)
    return found


# --- keys -----------------------------------------------------------------------------------------

# Keys of other formats than the scenes.
FORMATS = {
    **{f"dataset.{key}": "voc" for key in SCHEMA["properties"]["dataset"]["properties"]},
    **dict.fromkeys(("dataset.val_fraction", "dataset.seed"), "folder"),
    **dict.fromkeys(("dataset.format", "dataset.limit"), "scenes"),
}
# Values that name files or lists, and those that want another key changed, too.
CHANGES = {
    "dataset.format": {
        "dataset.format": "voc",
        "dataset.root": "devkit",
        "dataset.train_aug": "train",
        "dataset.classes": CLASSES,
    },
    "dataset.root": {"dataset.root": SCENES},
    "dataset.classes": {"dataset.classes": ["cat", "dog", "horse", "person", "sheep"]},
    "dataset.train_aug": {"dataset.train_aug": "fewer_train", "dataset.train": "fewer_train"},
    "dataset.train": {"dataset.train": "fewer_train"},
    "dataset.val": {"dataset.val": "fewer_val"},
    "dataset.test": {"dataset.test": "fewer_val"},
    "dataset.labels": {"dataset.labels": "own/labels.csv"},
    "dataset.masks": {"dataset.masks": "own/masks"},
    "dataset.images": {"dataset.images": "own/images"},
    "labels.confidence": {"labels.confidence": None},
    "cam.maps": {"cam.maps": "results/cam/maps"},
    "cam.train": {"cam.train": False, "cam.network.weights": "start.pt"},
    "affinity.train": {"affinity.train": False, "affinity.network.weights": "start.pt"},
    "segmentation.train": {
        "segmentation.train": False,
        "segmentation.network.weights": "start.pt",
        "segmentation.upper_bound": False,
    },
}
WORDS = ("random", "cpu", "ignore", "centre", "sum", "sgd", "constant", "release")


def candidates(value: object):
    """Other values for a key."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value * 2, value // 2, value / 2, 0.5)
    elif isinstance(value, list):
        yield from (value[:-1], [item * 2 for item in value])
    yield from (*WORDS, 8, [32, 64])


def changed(config: dict, key: str) -> dict:
    """The configuration with another value for one key that the schema allows."""
    if key in CHANGES:
        return complete(with_changes(config, CHANGES[key]), SCHEMA)
    value = config
    for part in key.split("."):
        value = value[part]
    for candidate in candidates(value):
        try:
            other = complete(with_changes(config, {key: candidate}), SCHEMA)
        except ConfigError:
            continue
        if other != config:
            return other
    raise AssertionError(f"{key}: name another value for it in CHANGES")


def differences(found: dict, expected: dict) -> dict[str, str]:
    """Where they differ: rules that ran but were not expected (+), and the other way round (-)."""
    return {
        key: " ".join(
            [f"+{rule}" for rule in sorted(found[key] - expected[key])]
            + [f"-{rule}" for rule in sorted(expected[key] - found[key])]
        )
        for key in found
        if found[key] != expected[key]
    }


def test_each_key_reruns_what_the_documentation_says(runs, tmp_path):
    dry_runs, expected = [], {}
    for key in KEYS:
        folder, config = runs[FORMATS.get(key, "scenes")]
        other = changed(config, key)
        dry_runs.append(DryRun(folder, write(tmp_path / f"{key}.yaml", other)))
        expected[key] = rules_of(RERUNS[row_of(key)])
    found = dict(zip(KEYS, rules_to_run(dry_runs), strict=True))
    assert differences(found, expected) == {}


# --- what is no change ----------------------------------------------------------------------------


def reordered(value: object) -> object:
    """The same values, with the keys of all sections in the other order."""
    if not isinstance(value, dict):
        return value
    return {key: reordered(value[key]) for key in reversed(value)}


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    shutil.copytree(finished, tmp_path / "run", symlinks=True)
    return tmp_path / "run"


def test_order_of_keys_comments_and_defaults_rerun_nothing(finished, tmp_path):
    backwards = yaml.safe_dump(reordered(TINY), sort_keys=False)
    assert backwards != yaml.safe_dump(TINY, sort_keys=False)
    (tmp_path / "backwards.yaml").write_text(f"# another comment\n{backwards}")
    assert rules_to_run([DryRun(finished, tmp_path / "backwards.yaml")]) == [set()]


def test_swapped_values_are_noticed(finished, tmp_path):
    low, high = TINY["walk"]["alpha"], TINY["walk"]["beta"]
    assert low != high
    swapped = with_changes(TINY, {"walk.alpha": high, "walk.beta": low})
    dry_run = DryRun(finished, write(tmp_path / "swapped.yaml", swapped))
    assert rules_to_run([dry_run]) == [following({"random_walk"})]


def test_the_number_of_cores_reruns_nothing(finished):
    dry_run = DryRun(finished, TINY_YAML, arguments=("--cores", "1"))
    assert rules_to_run([dry_run]) == [set()]


def test_touched_files_rerun_nothing(copied):
    """Sources and results, in an order that makes each input newer than its output."""
    files = [path for path in copied.glob("results/**/[!.]*") if path.is_file()]
    newest = sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for second, path in enumerate(newest):
        os.utime(path, (2e9 + second,) * 2)
    assert rules_to_run([DryRun(copied, TINY_YAML)]) == [set()]


def test_results_copied_into_a_clone_rerun_nothing(finished, tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    shutil.copytree(finished / "results", clone / "results")  # as cp -a
    dry_run = DryRun(clone, TINY_YAML, project=clone)
    assert rules_to_run([dry_run]) == [set()]
    for second, path in enumerate(sorted((clone / "results").rglob("*"), reverse=True)):
        os.utime(path, (second, second))  # as after cp -r: an order that means nothing
    assert rules_to_run([dry_run]) != [set()]
    snakemake(clone, "--touch", "--", *TARGETS)
    assert rules_to_run([dry_run]) == [set()]


# --- code -----------------------------------------------------------------------------------------

MODULES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "psa_core").rglob("*.py"))
# Rules whose script has another name.
SCRIPTS = {
    **{f"evaluate_{stage}": "evaluate_labels" for stage in ("walk", "labels", "segmentation")},
    **dict.fromkeys(("evaluate_superpixels", "evaluate_upper_bound"), "evaluate_labels"),
    **dict.fromkeys(("evaluate_val_walk", "evaluate_val_labels"), "evaluate_labels"),
    "evaluate_val_cam": "evaluate_cam",
    "predict_test": "predict_segmentation",
    "table_labels": "table",
    "table_val_labels": "table",
    "table_segmentation": "table",
}


@pytest.fixture
def project(tmp_path):
    """Copy the project: its code and nothing else."""

    def copy_to(name: str) -> Path:
        for part in ("workflow", "psa_core", "config", "profiles"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, tmp_path / name / part, ignore=ignored)
        shutil.copy(ROOT / "Snakefile", tmp_path / name)
        return tmp_path / name

    return copy_to


def imported_by(script: str) -> set[str]:
    """Files of psa_core that a script imports, by its bytecode."""
    finder = ModuleFinder(path=[str(ROOT)])
    finder.run_script(str(ROOT / f"workflow/scripts/{script}.py"))
    ours = (module for name, module in finder.modules.items() if name.startswith("psa_core"))
    return {str(Path(module.__file__).relative_to(ROOT)) for module in ours}


def edit_a_function(path: Path) -> None:
    """A statement more in a function of a module, or in the module where it has none."""
    lines = path.read_text().splitlines()
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    if functions:
        last = functions[-1].body[-1]
        lines.insert(last.lineno - 1, " " * last.col_offset + "changed = True")
    else:
        lines.append("changed = True")
    path.write_text("\n".join(lines))


def edit_texts(path: Path) -> None:
    """Other docstrings, comments and blank lines; the same code."""
    tree, lines = ast.parse(path.read_text()), path.read_text().splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            line = node.body[0].lineno - 1
            assert '"""' in lines[line]
            lines[line] = lines[line].replace('"""', '"""Another word. ', 1)
            if lines[line].endswith('word. """'):
                lines[line] = lines[line].replace('. """', '."""')
    path.write_text("# A comment.\n\n" + "\n".join(lines) + "\n\n\n# The end.\n")


def test_an_edited_module_reruns_the_rules_that_import_it(finished, project):
    tiny = TINY_YAML
    (rules,) = rules_to_run([DryRun(finished, tiny, arguments=("--forceall",))])
    imported = {rule: imported_by(SCRIPTS.get(rule, rule)) for rule in rules}
    dry_runs, expected = [], {}
    for module in MODULES:
        copy_of_project = project(module.replace("/", "."))
        edit_a_function(copy_of_project / module)
        dry_runs.append(DryRun(finished, tiny, project=copy_of_project))
        expected[module] = following({rule for rule in rules if module in imported[rule]})
    found = dict(zip(MODULES, rules_to_run(dry_runs), strict=True))
    assert differences(found, expected) == {}
    # By hand: the walk and its sweep, and what only the Snakefile imports.
    assert found["psa_core/walk.py"] == following({"random_walk", "sweep_random_walk"})
    assert found["psa_core/config.py"] == found["psa_core/provenance.py"] == set()


def test_comments_docstrings_and_layout_rerun_nothing(finished, project):
    edited = project("edited")
    for path in [*edited.rglob("psa_core/**/*.py"), *edited.rglob("workflow/scripts/*.py")]:
        before = path.read_text()
        edit_texts(path)
        assert path.read_text() != before
    dry_run = DryRun(finished, TINY_YAML, project=edited)
    assert rules_to_run([dry_run]) == [set()]


def test_each_rule_with_a_script_knows_its_code():
    """Those that no dry run above has, too."""
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        scripts = re.findall(r'"../scripts/(\w+).py"', path.read_text())
        assert re.findall(r'code=code_of\("(\w+)"\)', path.read_text()) == scripts, path
