"""Run the workflow with the oldest and the newest packages that are allowed: `make test-versions`.

An argument, `oldest` or `newest`, runs it with these alone. They are installed into an environment
of their own on top of this one, from which torch and torchvision come: these have gigabytes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
FROM_HERE = ("torch", "torchvision", "psa-core")
TEST = "tests/test_workflow.py"  # one whole run


def allowed() -> list[str]:
    """What pyproject.toml allows, for example "numpy>=2.0", but the tools of development."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {**project["optional-dependencies"], "dev": []}
    wanted = [*project["dependencies"], *(each for listed in extras.values() for each in listed)]
    return sorted({each for each in wanted if re.split(r"[\[<>=]", each)[0] not in FROM_HERE})


def oldest(requirement: str) -> str:
    """ "numpy==2.0" of "numpy>=2.0,<3"."""
    return requirement.split(",")[0].replace(">=", "==")


VERSIONS = {"oldest": oldest, "newest": str}


def environment(folder: Path, requirements: list[str]) -> Path:
    """The Python of a new environment with these packages, and this one's for all others."""
    venv.create(folder, with_pip=True)
    library = folder / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    (library / "base.pth").write_text(sysconfig.get_path("purelib"))
    python = folder / "bin/python"
    install = [python, "-m", "pip", "install", "--quiet", "--upgrade", *requirements]
    subprocess.run(install, check=True)
    return python


def main(asked: list[str]) -> int:
    failed = []
    for name in asked or VERSIONS:
        with tempfile.TemporaryDirectory() as folder:
            python = environment(Path(folder), [VERSIONS[name](each) for each in allowed()])
            print(f"{name} packages", flush=True)
            command = [python, "-m", "pytest", "-q", "-m", "not slow", TEST]
            path = os.pathsep.join([f"{folder}/bin", os.environ["PATH"]])
            changed = {"PATH": path, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, cwd=ROOT, env=os.environ | changed, check=False)
        failed += [name] if done.returncode else []
    print(f"failed: {', '.join(failed)}" if failed else "passed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
