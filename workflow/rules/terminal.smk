"""Snakemake's messages: one line per stage in the terminal, all of them in .snakemake/log.

`--verbose` shows all of them in the terminal.
"""

from snakemake.settings.types import ExecMode

from psa_core.runtime.terminal import StageLines

lines = None
if workflow.exec_mode == ExecMode.DEFAULT:
    if not workflow.output_settings.verbose:
        for handler in logger.handlers:
            if handler.name == "DefaultStreamHandler":
                lines = StageLines(
                    handler.formatter, show_logs=workflow.output_settings.show_failed_logs
                )
                handler.setFormatter(lines)
                handler.addFilter(lines)
