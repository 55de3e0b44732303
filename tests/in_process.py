"""Snakemake that starts in little time, and so do its scripts: in its process, or forked."""

import functools
import gc
import multiprocessing
import os
import pickle
import pkgutil
import runpy
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing import forkserver, reduction
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import psutil
from seeds import kept


def parse_once() -> None:
    """Keep the Python code that Snakemake makes of each Snakefile, for all later runs.

    That takes half of the time in which the workflow is read. Files are known by their contents.
    """
    from snakemake import __version__, workflow

    parse = workflow.parse

    def parse_kept(path, owner, linemap, overwrite_shellcmd=None, rulecount=0):
        def parsed(_):
            code, rules = parse(path, owner, linemap, overwrite_shellcmd, rulecount)
            return pickle.dumps((code, rules, dict(linemap)))

        with owner.sourcecache.open(path, "r") as file:
            source = f"{__version__} {rulecount} {overwrite_shellcmd} {file.read()}"
        code, rules, lines = pickle.loads(kept("parsed.pickle", source, parsed).read_bytes())
        linemap.update(lines)
        return code, rules

    workflow.parse = parse_kept


def digest_once() -> None:
    """Keep the digests of the code, for all later runs. psa_core is that of the run."""
    from psa_core.runtime import provenance

    read, package = provenance._read, provenance.PACKAGE
    modules = sorted(str(path.relative_to(package)) for path in package.rglob("*.py"))
    how = Path(provenance.__file__).read_text(encoding="utf-8")

    @functools.cache
    def read_kept(path):
        place = path.relative_to(package) if path.is_relative_to(package) else ""
        source = f"{how} {modules} {place} {path.read_text(encoding='utf-8')}"
        return pickle.loads(
            kept("code.pickle", source, lambda _: pickle.dumps(read(path))).read_bytes()
        )

    provenance._read = read_kept


def list_plugins_once() -> None:
    """Search the installed packages for Snakemake's plugins once, not four times."""
    pkgutil.iter_modules = functools.cache(lambda: list(iter_modules()))


def run_scripts_here() -> None:
    """Run stubs (workflow_runs.py) inside Snakemake, for the rest of this process."""
    from snakemake import script

    def evaluate(job, edit: bool = False) -> None:
        exec(job.source, {"snakemake": job})
        if job.bench_record:  # the rule has a benchmark
            job.bench_record.running_time = 0

    script.PythonScript.evaluate = evaluate


def fork_scripts() -> None:
    """From now on, run each script in a child of the fork server that started this process.

    The server has imported what takes seconds. It has no threads, so it can be forked safely; this
    process has some.
    """
    from snakemake import script
    from snakemake.benchmark import benchmarked

    # Otherwise a second server would start, as this process knows the address of its own alone.
    forkserver._forkserver.ensure_running = lambda: None
    # A start polls all children, and would take the exit status that another thread waits for.
    starting = threading.Lock()

    def execute(job, name: str, edit: bool = False) -> None:
        streams = Stream(1), Stream(2)
        where = os.getcwd(), dict(os.environ), sys.path
        process = multiprocessing.get_context("forkserver").Process(
            target=_run_script, args=(name, streams, *where)
        )
        with starting:
            process.start()
            multiprocessing.process._children.discard(process)
        with suppress(psutil.NoSuchProcess), benchmarked(process.pid, job.bench_record):
            process.join()
        process.join()  # it may have ended before Snakemake looked for it
        if process.exitcode:
            raise subprocess.CalledProcessError(process.exitcode, name)

    script.PythonScript.execute_script = execute


class Stream:
    """An open file, by its descriptor, that another process gets with its arguments."""

    def __init__(self, descriptor: Any):
        self.descriptor = descriptor

    def __reduce__(self):
        return Stream, (reduction.DupFd(self.descriptor),)


def _run_script(
    name: str,
    streams: tuple[Stream, Stream],
    folder: str,
    environment: dict[str, str],
    path: list[str],
) -> None:
    """Run a script as Python does."""
    gc.freeze()  # as in forked.py
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream.descriptor.detach(), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    sys.argv = [name]
    multiprocessing.set_start_method("fork", force=True)  # Linux's own, not that of the server
    runpy.run_path(name, run_name="__main__")


if __name__ == "__main__":  # by benchmarks/scale.py
    from snakemake import cli

    run_scripts_here()
    cli.main()
