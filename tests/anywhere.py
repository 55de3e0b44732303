"""Run `make test` as on other machines: `make test-anywhere`.

Each argument is one run: a condition, or several joined by "+". The conditions are

  plain                                    this machine as it is
  aten=default, aten=avx2, aten=avx512     the instructions of torch's own kernels
  onednn=avx2, onednn=default              those of its convolutions
  omp=N                                    N threads for the numerical libraries
  seed=N                                   seed N for tiny trainings, random networks and noise
  order=N                                  the tests in a random order, drawn with seed N
  busy=N                                   N other processes that use a core each
  tmp                                      temporary files on another file system
  home                                     a home folder that cannot be written
  path                                     a clone in a folder with spaces and an umlaut
  user                                     that clone, as an ordinary user (needs root)

Without arguments each condition has a run of its own, 10 to 20 minutes each on two cores.
"not here" marks a condition that this machine cannot meet.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
EACH = [
    *("plain", "aten=default", "aten=avx2", "aten=avx512", "onednn=avx2", "onednn=default"),
    *("omp=1", "omp=2", "omp=3", "seed=1", "order=1", "busy=4", "tmp", "home", "path", "user"),
]
VARIABLES = {
    "aten": "ATEN_CPU_CAPABILITY",
    "onednn": "ONEDNN_MAX_CPU_ISA",
    "omp": "OMP_NUM_THREADS",
    "seed": "PSA_TEST_SEED",
}
NAMES = {*VARIABLES, "plain", "order", "busy", "tmp", "home", "path", "user"}
AS_USER = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


class NotHere(Exception):
    """This machine cannot meet a condition."""


def settings_of(run: str) -> dict[str, str]:
    """The conditions of a run and their values; "" for a condition without one."""
    settings = dict(each.partition("=")[::2] for each in run.split("+"))
    if unknown := settings.keys() - NAMES:
        raise SystemExit(f"{run}: unknown condition {', '.join(unknown)}; see --help")
    return settings


def environment_of(settings: dict[str, str], scratch: Path) -> dict[str, str]:
    """The environment variables of a run. Raises NotHere."""
    environment = dict(os.environ)
    for name, variable in VARIABLES.items():
        if value := settings.get(name):
            environment[variable] = value.upper() if name == "onednn" else value
    if settings.get("aten") == "avx512" and "avx512f" not in Path("/proc/cpuinfo").read_text():
        raise NotHere("the processor has no AVX-512")
    if "order" in settings:
        environment["PYTEST_ADDOPTS"] = f"-p randomly --randomly-seed={settings['order']}"
    if "tmp" in settings:
        environment["TMPDIR"] = str(open_to_all(another_disk() / "psa_anywhere"))
    if "user" in settings:
        environment["HOME"] = str(scratch / "home")
        Path(environment["HOME"]).mkdir(exist_ok=True)
        shutil.chown(environment["HOME"], "nobody")
    if "home" in settings:
        environment["HOME"] = "/proc"  # where even root cannot make a file
        environment.pop("XDG_CACHE_HOME", None)
    return environment


def another_disk() -> Path:
    """A folder on another file system than that of temporary files. Raises NotHere."""
    usual = os.stat(tempfile.gettempdir()).st_dev
    for place in map(Path, ("/dev/shm", "/var/tmp", ROOT.parent)):
        if place.is_dir() and place.stat().st_dev != usual and shutil.disk_usage(place).free > 4e9:
            return place
    raise NotHere("no other file system has 4 GB free")


def open_to_all(folder: Path) -> Path:
    """Make a folder that every user may write to."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o1777)
    return folder


def clone_in(scratch: Path, as_user: bool) -> Path:
    """Clone the last commit and install it in an environment of its own. Raises NotHere."""
    clone = scratch / "Wälder und Tiere" / "psa"
    if as_user:
        python = os.environ.get("PYTHON", sys.executable)
        # By a shell: setpriv itself still reaches what root alone may.
        command = [*AS_USER, "sh", "-c", f"{shlex.quote(python)} -c ''"]
        if os.geteuid() or subprocess.run(command, check=False).returncode:
            raise NotHere(f"nobody cannot run {python}; be root, and name another by PYTHON=")
    chown = ["chown", "--recursive"]
    if clone.exists():
        subprocess.run([*chown, f"{os.geteuid()}:{os.getegid()}", clone], check=True)
        subprocess.run(["git", "pull", "--quiet", "--ff-only"], cwd=clone, check=True)
    else:
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    with open(scratch / "install.log", "w") as log:
        subprocess.run(["make", "install"], cwd=clone, check=True, stdout=log, stderr=log)
    if as_user:
        subprocess.run([*chown, "nobody:nogroup", clone], check=True)
    return clone


def make_test(run: str, scratch: Path) -> bool:
    """Do one run and print its row of the table: conditions, outcome, seconds, failed tests.

    Returns whether all tests passed.
    """
    settings, log = settings_of(run), scratch / f"{run}.log"
    try:
        environment = environment_of(settings, scratch)
        as_user = "user" in settings
        folder = clone_in(scratch, as_user) if as_user or "path" in settings else ROOT
    except NotHere as reason:
        print(f"| {run} | not here: {reason} | | |", flush=True)
        return True
    command = [*(AS_USER if as_user else []), "make", "test"]
    spin = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(spin) for _ in range(int(settings.get("busy", 0)))]
    start = time.monotonic()
    try:
        with open(log, "w") as file:
            done = subprocess.run(
                command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT
            )
    finally:
        for process in busy:
            process.kill()
        if "tmp" in settings:
            shutil.rmtree(environment["TMPDIR"])
    text = log.read_text(errors="replace")
    counts = re.findall(r"^(?:=+ )?(\d+ (?:passed|failed|error).*?) in [\d.]+s", text, re.M)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", text, re.M)
    outcome = counts[-1] if counts else f"make ended with {done.returncode}; see {log}"
    seconds = time.monotonic() - start
    print(f"| {run} | {outcome} | {seconds:.0f} | {' '.join(failed)} |", flush=True)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", default=EACH, metavar="RUN")
    parser.add_argument("--folder", type=Path, help="for logs and the clone; default: a new one")
    options = parser.parse_args()
    scratch = options.folder or Path(tempfile.mkdtemp(prefix="psa_anywhere_"))
    open_to_all(scratch)
    for run in options.runs:
        settings_of(run)
    print(f"logs in {scratch}\n\n| run | outcome | s | failed |\n|---|---|---|---|", flush=True)
    passed = [make_test(run, scratch) for run in options.runs]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    raise SystemExit(main())
