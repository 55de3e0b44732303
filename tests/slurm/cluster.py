"""A SLURM cluster of one node on this machine, while a test runs.

Needs root and the packages slurmctld, slurmd, slurm-client and munge, but neither systemd nor
cgroups. Its node claims more CPUs and memory than the machine may have, and a GPU that does not
exist, so that the jobs of profiles/slurm fit.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

# Where SLURM's commands look for their configuration, also within jobs.
ETC = Path("/etc/slurm")
MARK = "# Written by tests/slurm/cluster.py, and removed when the test ends.\n"

CONFIGURATION = {
    "slurm.conf": """\
ClusterName=test
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
GresTypes=gpu
NodeName=localhost CPUs=8 RealMemory=64000 Gres=gpu:1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE
""",
    "gres.conf": "NodeName=localhost Name=gpu File=/dev/null\n",
}


@contextmanager
def cluster() -> Iterator[None]:
    """Start the daemons, with their files in a temporary folder; at the end stop them and all jobs.

    Raises RuntimeError if the machine has a SLURM already, or a daemon does not start.
    """
    for path in (ETC / name for name in CONFIGURATION):
        if path.exists() and not path.read_text().startswith(MARK):
            raise RuntimeError(f"{path} is not of this test: use a machine without SLURM")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="slurm_")))
        folder.chmod(0o755)  # munged requires that everyone can reach its socket
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        for name, text in CONFIGURATION.items():
            (ETC / name).write_text(MARK + text.format(folder=folder))
            stack.callback((ETC / name).unlink)
        munge_files = [f"--{n}-file={folder}/munge.{n}" for n in ("key", "pid", "log", "seed")]
        munged = ["munged", "--foreground", f"--socket={folder}/munge.socket", *munge_files]
        stack.enter_context(daemon(munged, folder))
        wait_for((folder / "munge.socket").exists, folder)
        stack.enter_context(daemon(["slurmctld", "-D"], folder))
        stack.enter_context(daemon(["slurmd", "-D"], folder))
        stack.callback(cancel_all)
        wait_for(is_idle, folder)
        yield


@contextmanager
def daemon(command: list[str], folder: Path) -> Iterator[None]:
    """Run a daemon; it is stopped at the end, and also when the test is killed."""
    with (folder / f"{command[0]}.log").open("w") as file:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command], stdout=file, stderr=file
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_idle() -> bool:
    """Whether the node is ready for jobs."""
    done = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
    return done.stdout.strip() == "idle"


def cancel_all() -> None:
    """Cancel all jobs, and wait until they have ended."""
    subprocess.run(["scancel", "--user", "root"], check=False)
    deadline = time.monotonic() + 45  # SLURM waits 30 s between SIGTERM and SIGKILL
    while time.monotonic() < deadline and subprocess.check_output(["squeue", "-h"]):
        time.sleep(0.5)


def wait_for(condition: Callable[[], bool], folder: Path) -> None:
    """Wait until a condition holds. Raises RuntimeError with the daemons' logs after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text()[-2000:] for path in sorted(folder.glob("*.log")))
            raise RuntimeError(f"SLURM does not start:\n{logs}")
        time.sleep(0.2)
