"""From image-level labels to segmentation masks: one rules file per stage, in the order of the data."""

from psa_core.runtime.terminal import times


# Used with --sdm apptainer alone; container/psa.def says how to build it.
container: "container/psa.sif"


include: "workflow/rules/python.smk"
include: "workflow/rules/terminal.smk"
include: "workflow/rules/configuration.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/trainings.smk"
include: "workflow/rules/import_network.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/import_maps.smk" if config["cam"]["maps"] else "workflow/rules/cam.smk"
include: "workflow/rules/affinity_labels.smk"
include: "workflow/rules/affinity.smk"
include: "workflow/rules/walk.smk"
include: "workflow/rules/pseudo_labels.smk"
include: "workflow/rules/review.smk"
include: "workflow/rules/segmentation.smk"
include: "workflow/rules/submission.smk"
include: "workflow/rules/superpixels.smk"
include: "workflow/rules/boundaries.smk"
include: "workflow/rules/metrics.smk"
include: "workflow/rules/package_model.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/sweeps.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/exports.smk"


rule all:
    default_target: True
    input:
        METRICS,
        "results/model.safetensors",
        "results/model_card.md",
        "results/figures/stages.png",
        "results/figures/exponents.png",
        "results/figures/trainings.png" if LOSSES and not config["freeze"] else [],
        REVIEW,
        "results/figures/predictions.png" if DATA.images["val"] else [],
        "results/submission.tar.gz" if DATA.images["test"] else [],
        [f"results/figures/{name}.png" for name in ("metrics", "losses")]
        if DATA.scored["train"] or DATA.scored["val"]
        else [],


PLACES = {"pictures": "results/figures", "review of all masks": REVIEW}
PLACES |= {"masks": "results/pseudo_labels", "model": "results/model.safetensors"}
PLACES |= {f"exports of {masks}": f"results/export/{masks}" for masks in EXPORTED}
BEFORE = {}


onstart:
    BEFORE.update(times([METRICS, CHECK, *PLACES.values()]))


onsuccess:
    from psa_core.evaluation.closing import closing

    decided = {*DATA.decisions, *DATA.corrections}
    for line in closing(METRICS, CHECK, PLACES, before=BEFORE, decided=decided):
        logger.warning(line)
