"""Masks for other tools. Needs pseudo labels or predictions; makes results/export/{masks}/*."""

from psa_core.delivery.exports import FORMATS

EXPORTED = {
    "pseudo_labels": ("train_aug", "results/pseudo_labels/{}.png"),
    "predictions": ("val", "results/segmentation/predictions/{}.png"),
}


def of_export(choose):
    """An input function: what `choose` says for the part and the pattern of the masks."""
    return lambda wildcards: choose(*EXPORTED[wildcards.masks])


rule export:
    """All pseudo labels, or all predictions, in one file of a format."""
    input:
        images=of_export(lambda part, pattern: tables(part)),
        classes=CLASSES,
        masks=of_export(lambda part, pattern: of_shards(pattern, DATA.shards(part))),
        deleted=of_export(lambda part, pattern: deleted(pattern, part)),
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
        masks={masks: pattern for masks, (_, pattern) in EXPORTED.items()},
        code=lambda wildcards: code_of(
            "export", f"psa_core.delivery.exports.{Path(wildcards.file).stem}"
        ),
    script:
        "../scripts/export.py"
