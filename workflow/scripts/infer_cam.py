"""Class activation maps of one shard of images."""

from typing import TYPE_CHECKING

from psa_core import cam, logs, networks
from psa_core.artifacts import by_image, write_array
from psa_core.compute import open_device
from psa_core.datasets.index import read_classes, read_image, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = dict(snakemake.params.settings)
with logs.stage(snakemake.log[0], settings=settings):
    device = open_device(snakemake.config["device"], snakemake.threads)
    network = networks.read(
        snakemake.input.network, device, output_stride=settings.pop("output_stride")
    )
    classes = read_classes(snakemake.input.classes)
    index = read_index(snakemake.input.index).set_index("image")
    outputs = by_image(snakemake.output.maps)
    for image, path in logs.progress(outputs.items(), total=len(outputs), label="images"):
        maps = cam.class_activation_maps(
            network,
            read_image(index.path[image]),
            classes.indices(index.labels[image]),
            **settings,
        )
        write_array(path, maps)
