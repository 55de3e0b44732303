"""The files of tests/corpus: as they are, and as seeds of fuzzing guided by coverage."""

import importlib.util
import subprocess
import sys

import pytest
from readers import READERS, corpus
from seeds import ROOT, SEED

FILES = corpus()


@pytest.mark.parametrize(("name", "path"), FILES, ids=[f"{n}/{p.name}" for n, p in FILES])
def test_a_file_is_read_or_refused_by_name(tmp_path, name, path):
    READERS[name](tmp_path / name, path.read_bytes())


@pytest.mark.parametrize("name", READERS)
def test_the_corpus_has_usable_and_other_files_of_each_reader(tmp_path, name):
    found = {READERS[name](tmp_path, path.read_bytes()) for n, path in FILES if n == name}
    assert found == {True, False}


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="atheris is not installed")
def test_contents_that_are_guided_by_coverage(tmp_path):
    command = [sys.executable, str(ROOT / "tests/faults/guided.py"), "-max_total_time=60"]
    done = subprocess.run(
        [*command, f"-seed={SEED + 1}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-5000:]
    assert "stat::number_of_executed_units" in done.stderr
