"""Snakemake whose scripts run in its own process: a stub takes less time than a start of Python."""


def run_scripts_here() -> None:
    """Change Snakemake for the rest of this process. Scripts must be stubs (workflow_runs.py)."""
    from snakemake import script

    def evaluate(job, edit: bool = False) -> None:
        exec(job.source, {"snakemake": job})
        if job.bench_record:  # the rule has a benchmark
            job.bench_record.running_time = 0

    script.PythonScript.evaluate = evaluate


if __name__ == "__main__":
    from snakemake import cli

    run_scripts_here()
    cli.main()
