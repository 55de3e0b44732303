"""Masks for other tools. Needs pseudo labels or predictions; makes results/export/{masks}/*."""

from psa_core.delivery.exports import FORMATS

EXPORTED = {
    "pseudo_labels": "results/pseudo_labels/{}.png",
    "predictions": "results/segmentation/predictions/{}.png",
}
PART_OF_EXPORT = {"pseudo_labels": "train_aug", "predictions": "val"}


rule export:
    """All pseudo labels, or all predictions, in one file of a format."""
    input:
        images=lambda w: tables(PART_OF_EXPORT[w.masks]),
        classes=CLASSES,
        masks=lambda w: of_shards(EXPORTED[w.masks], DATA.shards(PART_OF_EXPORT[w.masks])),
        deleted=lambda w: deleted(EXPORTED[w.masks], PART_OF_EXPORT[w.masks]),
    output:
        "results/export/{masks}/{file}",
    log:
        "results/logs/export/{masks}/{file}.log",
    benchmark:
        "results/benchmarks/export/{masks}/{file}.tsv"
    wildcard_constraints:
        masks="|".join(EXPORTED),
        file="|".join(FORMATS.values()),
    params:
        masks=EXPORTED,
        code=lambda w: code_of("export", f"psa_core.delivery.exports.{Path(w.file).stem}"),
    script:
        "../scripts/export.py"
