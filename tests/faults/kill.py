"""Kill a running workflow at random, start it again, compare: `make test-faults`.

Each round starts the workflow in an empty folder, kills -9 one of its processes (Snakemake, a
job, a data loader) at a random moment, and runs the same command again until it succeeds. Every
file that the workflow makes, metrics.csv among them, must equal that of an undisturbed run, byte
for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from seeds import TINY_YAML
from workflow_runs import PROFILE, SNAKEMAKE

COMMAND = [*SNAKEMAKE, "--cores", "2", *PROFILE, "--configfile", str(TINY_YAML)]
TARGET = "results/metrics.csv"
NOTHING = "nothing: the run had ended"
# Measurements differ from run to run, and logs have times.
NOT_COMPARED = ("results/logs/", "results/benchmarks/")


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """Start Snakemake in a folder, in a session of its own; its output goes to run.log."""
    folder.mkdir(exist_ok=True)
    with open(folder / "run.log", "a") as log:
        return subprocess.Popen(
            [*COMMAND, "--directory", str(folder), *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def artifacts(folder: Path) -> dict[str, str]:
    """SHA-256 of each file under results/, by its name relative to the folder."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "results").rglob("*"))
        if path.is_file() and not (name := str(path.relative_to(folder))).startswith(NOT_COMPARED)
    }


def kill_one(run: subprocess.Popen, chance: random.Random) -> str:
    """Kill -9 a random process of a run and name it: "snakemake" or the rule's script.

    Where another process is killed, Snakemake itself goes on or gives up. Where Snakemake is
    killed, its jobs are killed, too, as the README asks the user to do.
    """
    while run.poll() is None:
        main = psutil.Process(run.pid)
        family = [main, *main.children(recursive=True)]
        victim = chance.choice(family)
        try:
            name = _name(victim)
            victim.kill()
        except psutil.NoSuchProcess:  # it has just ended: choose another
            continue
        if victim == main:
            for process in family[1:]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family[1:])
        return name
    return NOTHING


def _name(process: psutil.Process) -> str:
    """The script that a process, or the nearest of its parents, runs."""
    for each in [process, *process.parents()]:
        if found := re.search(r"/scripts/tmp\w+\.(\w+)\.py", " ".join(each.cmdline())):
            return found[1]
    return "snakemake"


def finish(folder: Path) -> int:
    """Run the workflow until it succeeds, as a user would; returns the number of runs."""
    for attempt in range(1, 4):
        if start(folder, "--", TARGET).wait() == 0:
            return attempt
        start(folder, "--unlock").wait()
    raise SystemExit(f"the workflow failed three times; see {folder / 'run.log'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the runs are kept; default: a new one")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="faults_"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        parser.error(f"--folder: {folder} is not empty: name a new folder")
    begin = time.monotonic()
    finish(folder / "undisturbed")
    seconds = time.monotonic() - begin
    expected = artifacts(folder / "undisturbed")
    print(f"undisturbed: {seconds:.0f} s, {len(expected)} files, in {folder}", flush=True)
    chance, kills, same_metrics, same_files = random.Random(options.seed), Counter(), 0, 0
    for number in range(1, options.rounds + 1):
        disturbed = folder / f"round_{number}"
        run, moment = start(disturbed, "--", TARGET), chance.uniform(0, 0.95 * seconds)
        try:
            run.wait(moment)
            killed = NOTHING
        except subprocess.TimeoutExpired:
            killed = kill_one(run, chance)
            run.wait()
        kills[killed] += 1
        if run.returncode == -signal.SIGKILL:
            start(disturbed, "--unlock").wait()
        runs = finish(disturbed) if run.returncode else 0
        found = artifacts(disturbed)
        same_metrics += found[TARGET] == expected[TARGET]
        same_files += found == expected
        left = (time.monotonic() - begin) / number * (options.rounds - number)
        print(
            f"round {number}: killed {killed} after {moment:.0f} s, {runs} more runs, "
            f"{'identical' if found == expected else 'DIFFERENT'}, {left:.0f} s left",
            flush=True,
        )
        if found == expected:
            shutil.rmtree(disturbed)
        else:
            names = sorted(set(found.items()) ^ set(expected.items()))
            print("  differ:", ", ".join(sorted({name for name, _ in names})[:10]), flush=True)
    print(f"rounds: {options.rounds}")
    print("kills by stage:", ", ".join(f"{name} {count}" for name, count in kills.most_common()))
    print(f"identical metrics: {same_metrics}; identical in all files: {same_files}")
    # A round whose run had ended before the kill proves nothing.
    enough = kills[NOTHING] <= options.rounds / 2
    return 0 if enough and same_files == same_metrics == options.rounds else 1


if __name__ == "__main__":
    raise SystemExit(main())
