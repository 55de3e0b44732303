"""Masks for other tools. Needs pseudo labels or predictions; makes results/export/{masks}/*."""

from psa_core.delivery.exports import FORMATS

REVIEWED = "reviewed_labels"
EXPORTED = {
    "pseudo_labels": "results/pseudo_labels/{}.png",
    REVIEWED: "results/pseudo_labels/{}.png",  # without rejected ones, with corrections
    "predictions": "results/segmentation/predictions/{}.png",
}
PART_OF_EXPORT = dict.fromkeys(EXPORTED, "train_aug") | {"predictions": "val"}


rule export:
    """All pseudo labels, as made or as reviewed, or all predictions, in one file of a format."""
    input:
        images=lambda w: tables(PART_OF_EXPORT[w.masks]),
        classes=CLASSES,
        masks=lambda w: of_shards(EXPORTED[w.masks], DATA.shards(PART_OF_EXPORT[w.masks])),
        deleted=lambda w: deleted(EXPORTED[w.masks], PART_OF_EXPORT[w.masks]),
        corrections=lambda w: CORRECTIONS if w.masks == REVIEWED and DATA.corrections else [],
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
        rejected=lambda w: DATA.rejected if w.masks == REVIEWED else [],
        # Snakemake ignores a table that is no longer an input, and which parameter has a value.
        corrected=lambda w: {"corrected": list(DATA.corrections) if w.masks == REVIEWED else []},
        code=lambda w: code_of("export", f"psa_core.delivery.exports.{Path(w.file).stem}"),
    script:
        "../scripts/export.py"
