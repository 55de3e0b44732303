"""What reruns after an edit of the code: what each script imports, and a few true dry runs."""

import ast
from modulefinder import ModuleFinder
from pathlib import Path

import pytest
import yaml
from dry_runs import DryRun, jobs_to_run, rules_of
from rerun_tables import differences, following
from seeds import ROOT, TINY_YAML
from workflow_runs import copy_project

from psa_core.runtime.provenance import code_digest, imported_modules


def test_each_rule_knows_the_code_of_its_script(stubbed_voc, tmp_path):
    """Every rule with a script has the digest of that script, and of the module it names."""
    methods = {
        "train_cam": ["psa_core.method.cam"],
        "train_affinity": ["psa_core.method.affinity"],
        "train_segmentation": ["psa_core.method.segmentation"],
        "export": ["psa_core.delivery.exports.coco"],
    }
    config = yaml.safe_load((stubbed_voc.folder / "preset.yaml").read_text())
    config["dataset"]["test"] = "fewer_val"
    files = [tmp_path / "networks.yaml", tmp_path / "maps.yaml"]
    files[0].write_text(yaml.safe_dump(config))
    files[1].write_text(yaml.safe_dump({**config, "cam": {"maps": "results/cam/maps"}}))
    rules, more = rules_of(stubbed_voc.folder, files)
    rules |= more
    scripts = {name: rule.script for name, rule in rules.items() if rule.script}
    apart = ("download", "extract_voc", "convert_sbd", "list_train_aug", "convert_coco")
    assert {Path(script).stem for script in scripts.values()} | set(apart) == {
        path.stem for path in (ROOT / "workflow/scripts").glob("*.py")
    }
    for name, script in scripts.items():
        path = ROOT / "workflow/rules" / script
        assert rules[name].params["code"] == code_digest(path, *methods.get(name, [])), name


@pytest.mark.parametrize(
    "script", sorted((ROOT / "workflow/scripts").glob("*.py")), ids=lambda p: p.stem
)
def test_modules_that_a_script_imports_are_those_of_its_bytecode(script):
    finder = ModuleFinder(path=[str(ROOT)])
    finder.run_script(str(script))
    ours = {name for name in finder.modules if name.split(".")[0] == "psa_core"}
    assert imported_modules(script).keys() == ours
    assert len(ours) > 3


def edit_a_function(path: Path) -> None:
    """A statement more in the last function of a module."""
    lines = path.read_text().splitlines()
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    last = functions[-1].body[-1]
    lines.insert(last.lineno - 1, " " * last.col_offset + "changed = True")
    path.write_text("\n".join(lines))


def test_an_edited_module_reruns_the_rules_that_import_it(finished, tmp_path):
    """By hand: the walk and its sweep; the colours of all pictures; what the Snakefile imports."""
    modules = {
        "method/walk.py": following({"run_walk", "sweep_walk"}),
        "evaluation/figures.py": {
            *("figure_stages", "figure_predictions", "figure_metrics", "figure_exponents"),
            *("figure_trainings", "table_walk_sweep"),
        },
        "runtime/provenance.py": set(),
    }
    dry_runs = []
    for module in modules:
        project = copy_project(tmp_path / Path(module).stem)
        edit_a_function(project / "psa_core" / module)
        dry_runs.append(DryRun(finished, TINY_YAML, project))
    found = dict(zip(modules, jobs_to_run(dry_runs), strict=True))
    assert differences(found, modules) == {}


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


def test_comments_docstrings_and_layout_rerun_nothing(finished, tmp_path):
    edited = copy_project(tmp_path / "edited")
    for path in [*edited.rglob("psa_core/**/*.py"), *edited.rglob("workflow/scripts/*.py")]:
        before = path.read_text()
        edit_texts(path)
        assert path.read_text() != before
    assert jobs_to_run([DryRun(finished, TINY_YAML, edited)]) == [{}]
