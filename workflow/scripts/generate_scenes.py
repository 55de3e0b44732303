"""The built-in data set."""

from pathlib import Path
from typing import TYPE_CHECKING

from psa_core import logs
from psa_core.datasets.scenes.generate import generate

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = snakemake.params.settings
with logs.stage(snakemake.log[0], settings=settings):
    generate(
        Path(snakemake.output[0]),
        **settings["scenes"],
        seed=settings["seed"],
        progress=logs.counter("scenes"),
    )
