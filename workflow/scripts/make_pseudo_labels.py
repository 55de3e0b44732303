"""Pseudo labels of one shard of images: dense CRF, then arg max; and their check."""

from typing import TYPE_CHECKING

from psa_core.datasets.formats.segments import find_segments
from psa_core.datasets.index import read_images, resized
from psa_core.datasets.segments import read_segments
from psa_core.evaluation.label_check import check, joined
from psa_core.method.pseudo_labels import pseudo_labels
from psa_core.method.segments import vote
from psa_core.runtime import logs, parallel
from psa_core.runtime.artifacts import read_array, write_label_map, write_manifest, write_table

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings, pattern = dict(snakemake.params.settings), snakemake.params.labels
only = snakemake.wildcards.get("image")
with logs.stage(snakemake.log[0], reads=snakemake.input, only=only, settings=settings):
    longest_side, folder = settings.pop("longest_side"), settings.pop("segments")
    images = read_images(snakemake.input.images, only=only)

    def label(row):
        scores = read_array(snakemake.params.scores.format(row.image), len(row.classes) + 1)
        image = resized(row.read(), longest_side)
        size = row.height, row.width
        labels = pseudo_labels(image, scores, row.classes, size=size, **settings)
        if folder and row.classes:
            labels = vote(labels, read_segments(find_segments(folder, row.image), size))
        return labels, check(row, labels, scores)

    results = parallel.in_processes(label, images, processes=snakemake.threads)
    checks = []
    for row, (labels, checked) in logs.progress(results, total=len(images), label="images"):
        write_label_map(pattern.format(row.image), labels)
        checks.append(checked)
    if snakemake.output.get("check"):  # of a shard, not of a single image
        write_table(snakemake.output.check, joined(checks))
    write_manifest(snakemake.output.get("manifest"), pattern, [row.image for row in images])
