"""Class maps of another method for one shard of images, checked and normalised."""

from pathlib import Path
from typing import TYPE_CHECKING

from psa_core import logs, maps
from psa_core.artifacts import by_image, write_array
from psa_core.datasets.index import read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]):
    labels = read_index(snakemake.input.index).set_index("image")["labels"]
    for image, path in by_image(snakemake.output.maps).items():
        source = Path(snakemake.params.folder, f"{image}.npy")
        write_array(path, maps.read_foreign(source, len(labels[image].split(";"))))
