"""From image-level labels to segmentation masks: one rules file a stage, in the order of the data."""


# Used with --sdm apptainer alone; container/psa.def says how to build it.
container: "container/psa.sif"


include: "workflow/rules/python.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/import_cam.smk" if config["cam"]["maps"] else "workflow/rules/cam.smk"
include: "workflow/rules/affinity.smk"
include: "workflow/rules/walk.smk"
include: "workflow/rules/labels.smk"
include: "workflow/rules/segmentation.smk"
include: "workflow/rules/submission.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/superpixels.smk"
include: "workflow/rules/boundaries.smk"
include: "workflow/rules/metrics.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/sweeps.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        "results/metrics.csv",
        "results/figures/stages.png",
        "results/figures/predictions.png" if IMAGES["val"] else [],
        "results/submission.tar.gz" if IMAGES["test"] else [],
        "results/figures/metrics.png" if SCORED["train"] or SCORED["val"] else [],
