"""PASCAL VOC 2012 with SBD's masks: downloaded, checked, unpacked, listed.

Apart from the Snakefile, which reads the lists at its start. Makes a devkit in the folder `root`:
JPEGImages/, Annotations/, SegmentationClass/, SegmentationClassAug/, ImageSets/Segmentation/.
"""


# Used with --sdm apptainer alone; container/psa.def says how to build it.
container: "container/psa.sif"


include: "rules/python.smk"


# A preset given by --configfile stands alone.
if not workflow.config_settings.configfiles:

    configfile: workflow.source_path("../config/download.yaml")


ROOT = config["root"]
LISTS = f"{ROOT}/ImageSets/Segmentation"
ARCHIVES = {
    "voc": f"{ROOT}/download/VOCtrainval_11-May-2012.tar",
    "sbd": f"{ROOT}/download/benchmark.tgz",
}


rule all:
    """Everything that dataset: {format: voc} reads."""
    input:
        f"{LISTS}/train_aug.txt",


for name, archive in ARCHIVES.items():

    rule:
        """Download an archive; what arrived before a break is kept beside it as .part."""
        name:
            f"download_{name}"
        output:
            archive,
        log:
            f"{ROOT}/download/logs/download_{name}.log",
        benchmark:
            f"{ROOT}/download/logs/download_{name}.tsv"
        params:
            archive=name,
            md5=config[name]["md5"],
        script:
            "scripts/download.py"


rule extract_voc:
    """Unpack VOC's images, annotations, masks and lists."""
    input:
        ARCHIVES["voc"],
    output:
        trainval=f"{LISTS}/trainval.txt",
        train=f"{LISTS}/train.txt",
        val=f"{LISTS}/val.txt",
    log:
        f"{ROOT}/download/logs/extract_voc.log",
    benchmark:
        f"{ROOT}/download/logs/extract_voc.tsv"
    script:
        "scripts/extract_voc.py"


rule convert_sbd:
    """Write SBD's masks as PNG where VOC has none; list SBD's images."""
    input:
        archive=ARCHIVES["sbd"],
        voc=f"{LISTS}/trainval.txt",
    output:
        f"{LISTS}/sbd.txt",
    log:
        f"{ROOT}/download/logs/convert_sbd.log",
    benchmark:
        f"{ROOT}/download/logs/convert_sbd.tsv"
    script:
        "scripts/convert_sbd.py"


rule list_train_aug:
    """The training images: all that VOC or SBD has masks of, but VOC's val."""
    input:
        trainval=f"{LISTS}/trainval.txt",
        train=f"{LISTS}/train.txt",
        val=f"{LISTS}/val.txt",
        sbd=f"{LISTS}/sbd.txt",
    output:
        f"{LISTS}/train_aug.txt",
    log:
        f"{ROOT}/download/logs/list_train_aug.log",
    benchmark:
        f"{ROOT}/download/logs/list_train_aug.tsv"
    params:
        counts=config["counts"],
    script:
        "scripts/list_train_aug.py"
