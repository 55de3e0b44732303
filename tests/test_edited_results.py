"""Files that were changed after the run made them: a stage that reads them says so."""

import pytest

from psa_core.runtime import artifacts, logs, manifests


@pytest.fixture
def made(tmp_path):
    """Three files with their manifest, and a list of names beside it."""
    for image in "abc":
        (tmp_path / f"{image}.npy").write_text(image)
    artifacts.write_manifest(tmp_path / "val_0.txt", str(tmp_path / "{}.npy"), "abc")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    return tmp_path


@pytest.fixture
def warnings(made, tmp_path_factory, restored_logging):
    """A function that returns what a stage that reads the files warns of."""
    reads = [str(made / name) for name in ("val_0.txt", "classes.txt", "a.npy")]

    def run(only=None):
        log = tmp_path_factory.mktemp("logs") / "run_walk/val_0.log"
        with logs.stage(log, reads=reads, only=only):
            pass
        lines = log.read_text().splitlines()
        return [line.partition(" WARNING ")[2] for line in lines if " WARNING " in line]

    return run


def test_unchanged_and_missing_files_are_none_of_them(made, warnings):
    (made / "b.npy").unlink()  # it is made again, or missed by what reads it
    assert list(manifests.edited_files([made / "val_0.txt", made / "classes.txt"])) == []
    assert warnings() == []


def test_a_changed_file_is_named_with_the_remedy(made, warnings):
    (made / "b.npy").write_text("B")
    assert warnings() == [
        f"{made}/b.npy: not what the manifest in its folder lists: edited, or made again alone on "
        "another machine. It is read as it is; to make it again, delete the manifest, and add "
        "--forcerun run_walk"
    ]
    (made / "c.npy").write_text("C")
    assert warnings()[0].startswith(f"{made}/b.npy (and 1 more): not what")


def test_a_job_of_one_image_is_warned_of_that_image_alone(made, warnings):
    (made / "b.npy").write_text("B")
    assert warnings(only="a") == []
    assert len(warnings(only="b")) == 1


def test_a_damaged_manifest_stops_the_stage(made, warnings):
    (made / "val_0.txt").write_text("")
    with pytest.raises(SystemExit):
        warnings()
