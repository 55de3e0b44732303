"""The temperature at which the walk's scores are honest probabilities."""

import json
from typing import TYPE_CHECKING

from psa_core import labels, logs
from psa_core.artifacts import by_image, read_array, read_label_map, replacing
from psa_core.datasets.index import read_classes, read_index

if TYPE_CHECKING:
    from snakemake.script import snakemake

with logs.stage(snakemake.log[0]) as log:
    classes = read_classes(snakemake.input.classes)
    index = read_index(snakemake.input.index).set_index("image")
    areas = by_image(snakemake.input.areas)
    temperature = labels.calibrate(
        labels.confident_scores(
            read_array(path), read_label_map(areas[image]), classes.indices(index.labels[image])
        )
        for image, path in by_image(snakemake.input.scores).items()
    )
    log.info("temperature %.4f", temperature)
    with replacing(snakemake.output.temperature) as temporary:
        temporary.write_text(json.dumps({"temperature": temperature}))
