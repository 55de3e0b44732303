"""COCO, as a folder that dataset: {format: folder} reads.

Apart from the Snakefile, which reads the lists at its start. Needs COCO's images and annotations in
the folder `root`; makes labels.csv, classes.txt and masks/ beside them.
"""


# Used with --sdm apptainer alone; container/psa.def says how to build it.
container: "container/psa.sif"


include: "rules/python.smk"


# A file given by --configfile stands alone.
if not workflow.config_settings.configfiles:

    configfile: workflow.source_path("../config/coco.yaml")


ROOT = config["root"]


rule convert_coco:
    """Image-level labels and masks of the 80 things, from instances or panoptic annotations."""
    input:
        train=f"{ROOT}/{config['train']['annotations']}",
        val=f"{ROOT}/{config['val']['annotations']}",
    output:
        labels=f"{ROOT}/labels.csv",
        classes=f"{ROOT}/classes.txt",
    log:
        f"{ROOT}/convert_coco.log",
    benchmark:
        f"{ROOT}/convert_coco.tsv"
    params:
        splits={split: config[split] for split in ("train", "val")},
    script:
        "scripts/convert_coco.py"
