"""Corrupt one thing at a time and run the workflow: `make soak`.

Each round copies a finished run of a few images, changes one file of its data, configuration,
weights or results (corruptions.py), and runs the workflow again, in half of the rounds from the
start. It must end with a message that names the file, or with the results of the undisturbed run:
no traceback, no wrong result, no run of more than a minute, and no file that is half written.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from corruptions import CORRUPTIONS, Expected
from forked import outcome_of, start_server
from seeds import ROOT
from workflow_runs import PROFILE

from psa_core.errors import UserError
from psa_core.runtime.manifests import edited_files

TRAIN, VAL = [f"scene_{n:05}" for n in (1, 2, 3, 4, 5, 6)], ["scene_50001", "scene_50002"]
STAGES = ("cam", "affinity", "segmentation")
NOT_COMPARED = ("logs/", "benchmarks/", "dataset/images/", "affinity_labels/")
SECONDS, HANG = 60, 124


def write_data(folder: Path) -> None:
    """Images, half of them PNG, masks, labels and lists of the scenes."""
    scenes = ROOT / "examples/scenes"
    shown = dict(row.split(",")[:2] for row in (scenes / "labels.csv").read_text().splitlines()[1:])
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows = ["image,labels"]
    for number, image in enumerate(TRAIN + VAL):
        file = f"{image}.png" if number % 2 else f"{image}.jpg"
        if number % 2:
            Image.open(scenes / f"images/{image}.jpg").save(folder / "images" / file)
        else:
            shutil.copy(scenes / "images" / file, folder / "images")
        shutil.copy(scenes / f"masks/{image}.png", folder / "masks")
        rows.append(f"{file},{shown[f'{image}.jpg']}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    for name, images in {"train.txt": TRAIN, "val.txt": VAL}.items():
        (folder / name).write_text("\n".join(images) + "\n")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The workflow in a folder; exit status HANG if it took more than SECONDS."""
    given = ["--directory", str(folder), "--cores", "2", *PROFILE, "--configfile"]
    command = [*given, str(folder / "config.yaml"), *arguments]
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = start_server().Process(target=_run, args=(sender, command, dict(os.environ)))
    process.start()
    sender.close()
    if receiver.poll(SECONDS):
        return receiver.recv()  # EOFError where it died without an answer: a bug of the soak
    for each in psutil.Process(forkserver._forkserver._forkserver_pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            each.kill()
    return subprocess.CompletedProcess(command, HANG, "", "")


def _run(sender: Connection, command: list[str], environment: dict[str, str]) -> None:
    sender.send(outcome_of(ROOT, command, environment, stubs=False))


def finished_run(folder: Path) -> None:
    """A run of a few images with networks that have hardly learned, and are then given as files."""
    write_data(folder / "data")
    config = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())
    lists = {"train_aug": "train.txt", "val": "val.txt"}
    config["dataset"] |= {"root": "data", "masks": "masks", **lists}
    del config["tables"], config["sweeps"], config["segmentation"]["upper_bound"]
    config["affinity_labels"].pop("true_masks")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *PROFILE]
    command += ["--cores", "2", "--directory", str(folder), "--configfile"]
    targets = [f"results/{stage}/network.safetensors" for stage in STAGES]
    subprocess.run([*command, str(folder / "config.yaml"), "--", *targets], check=True)
    (folder / "weights").mkdir()
    for stage in STAGES:
        file = f"weights/{stage}.safetensors"
        shutil.copy(folder / f"results/{stage}/network.safetensors", folder / file)
        config[stage]["train"] = False
        config[stage].setdefault("network", {})["weights"] = file
    for name in ("results", ".snakemake"):
        shutil.rmtree(folder / name)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    done = run(folder)
    if done.returncode:
        raise SystemExit(f"the undisturbed run failed:\n{done.stdout}{done.stderr}")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each result that must not depend on the corruption, by name.

    Tables of images hold digests of the inputs; nothing reads affinity labels, see `is_kept`.
    """
    results = folder / "results"
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(results.rglob("*"))
        if path.is_file() and not str(path.relative_to(results)).startswith(NOT_COMPARED)
    }


def half_written(folder: Path, changed: str | None) -> list[str]:
    """Temporary files, and files but `changed` that are not what their manifest says."""
    results = folder / "results"
    left = [str(path) for path in results.rglob(".*") if path.is_file()]
    for manifest in results.rglob("*_0.txt"):
        with suppress(UserError, OSError):
            left += map(str, edited_files([manifest]))
    return [path for path in left if changed is None or path != str(folder / changed)]


def verdict(
    done: subprocess.CompletedProcess,
    folder: Path,
    expected: Expected,
    undisturbed: dict[str, str],
) -> str | None:
    """What is wrong with the end of a run; None if nothing is."""
    printed = done.stdout + done.stderr
    if done.returncode == HANG:
        return "hang"
    logs = [path.read_text(errors="replace") for path in folder.glob("results/logs/**/*.log")]
    if any("Traceback" in text or '\n  File "' in text for text in (printed, *logs)):
        return "traceback"
    if half_written(folder, expected.result):
        return "half-written file"
    if done.returncode:
        if expected.names is None:
            return "refused without need"
        return None if any(name in printed for name in expected.names) else "file not named"
    if expected.names is not None and not expected.may_succeed:
        return "silent"
    # A stage that reads an edited result warns, and its own results may be others.
    if expected.result and f"{expected.result}: not what" in printed.replace(" (and 1 more)", ""):
        return None
    return None if digests(folder) == undisturbed else "wrong result"


def version() -> str:
    """Changes with the code and the data that the undisturbed run is made of."""
    files = [*ROOT.glob("psa_core/**/*.py"), *ROOT.glob("workflow/**/*"), *ROOT.glob("config/*")]
    files += [ROOT / "Snakefile", ROOT / "tests/tiny.yaml", Path(__file__)]
    contents = (path.read_bytes() for path in sorted(files) if path.is_file())
    return hashlib.sha256(b"".join(contents)).hexdigest()


def undisturbed_run(folder: Path) -> None:
    """The finished run that all rounds start from, unless it is there."""
    mark = folder / "finished.txt"
    if not mark.exists() or mark.read_text() != version():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        finished_run(folder)
        mark.write_text(version())


def one_round(base: Path, folder: Path, number: int) -> tuple[str, str | None, bool]:
    """(what was changed, what is wrong, whether the run was refused) of a round."""
    chance = random.Random(number)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    corrupt = chance.choices(list(CORRUPTIONS), list(CORRUPTIONS.values()))[0]
    what, expected = corrupt(folder, chance)
    if expected.result is None and chance.random() < 0.5:
        for name in ("results", ".snakemake"):
            shutil.rmtree(folder / name)
        what += ", from the start"
    done = run(folder, *(["--forcerun", *expected.forced, "--"] if expected.forced else []))
    wrong = verdict(done, folder, expected, digests(base))
    if wrong:
        (folder / "printed.txt").write_text(done.stdout + done.stderr)
    else:
        shutil.rmtree(folder)
    return what, wrong, done.returncode != 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--folder", type=Path, help="where failed rounds stay; default: a new one")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="soak_"))
    base = folder / "undisturbed"
    undisturbed_run(base)
    print(f"{len(digests(base))} files to compare, in {folder}", flush=True)
    begin, outcomes, failed = time.monotonic(), Counter(), 0
    for count, number in enumerate(range(options.first, options.first + options.rounds), start=1):
        what, wrong, is_refused = one_round(base, folder / f"round_{number}", number)
        outcomes[wrong or ("refused" if is_refused else "right result, or a warning")] += 1
        failed += bool(wrong)
        if wrong:
            print(f"round {number}: {what}: {wrong.upper()}", flush=True)
        if not count % 50:
            left = (time.monotonic() - begin) / count * (options.rounds - count)
            print(f"{count}/{options.rounds}, {left:.0f} s left", flush=True)
    print(", ".join(f"{name} {count}" for name, count in outcomes.most_common()))
    if not failed and not options.folder:
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
