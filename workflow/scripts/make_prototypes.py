"""The classification network with prototypes of classes and context in place of its classifier."""

from typing import TYPE_CHECKING

from psa_core.datasets.index import read_images
from psa_core.method import prototypes
from psa_core.networks.files import read_network, read_tensors, write_tensors
from psa_core.networks.metadata import read_metadata
from psa_core.runtime import inference, logs
from psa_core.runtime.compute import open_device

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, path = dict(snakemake.params.settings), snakemake.input.network
made = {"stage": "prototypes", "prototypes": snakemake.params.settings}
with logs.stage(snakemake.log[0], settings=settings):
    longest_side = settings.pop("longest_side")
    scales = prototypes.small_scales(settings.pop("scales"))
    device = open_device(snakemake.config["device"], snakemake.threads)
    network = read_network(path, device, output_stride=settings.pop("output_stride"))
    images = prototypes.chosen_images(read_images(snakemake.input.images), settings.pop("images"))

    def predict(rows, pixels):
        return prototypes.views(network, pixels, [row.classes for row in rows], scales=scales)

    results = inference.predictions(predict, images, device, longest_side=longest_side)
    results = logs.progress(results, total=len(images), label="images")
    views = [view for _, own in results for view in own]
    classifier = network.classifier.weight.flatten(1).cpu()
    weights = prototypes.prototype_weights(views, classifier, **settings)
    tensors = read_tensors(path) | {"classifier.weight": weights[..., None, None]}
    write_tensors(snakemake.output.network, tensors, read_metadata(path) | made)
