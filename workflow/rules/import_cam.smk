"""Class maps of another method, in place of cam.smk. Needs cam.maps; makes results/cam/maps/."""

MAPS = os.path.normpath(config["cam"]["maps"])

if not os.path.isdir(MAPS):
    raise ConfigError(
        f"cam.maps: {MAPS!r} is not a folder (seen from {os.getcwd()}); name that of the maps"
    )
if missing := sorted({f"{image}.npy" for image in IMAGES["train_aug"]} - names_in(MAPS)):
    raise ConfigError(
        f"cam.maps: {MAPS} lacks the maps of {len(missing)} training images, the first is "
        f"{missing[0]}; save them, or take these images out of the lists"
    )


rule import_cam:
    """Class maps of one shard of images, checked and normalised (paper, eq. 1)."""
    input:
        dataset=index_of(images_of_job, "labels"),
        foreign=foreign_maps(MAPS),
    output:
        manifest="results/cam/maps/{shard}.txt",
    log:
        "results/logs/import_cam/{shard}.log",
    benchmark:
        "results/benchmarks/import_cam/{shard}.tsv"
    params:
        images=images_of_job,
        data=data_of(images_of_job, "labels", files=foreign_maps(MAPS)),
        index=INDEX,
        foreign=f"{MAPS}/{{}}.npy",
        maps="results/cam/maps/{}.npy",
        code=code_of("import_cam"),
    script:
        "../scripts/import_cam.py"


use rule import_cam as import_cam_of_image with:
    input:
        dataset=index_of(images_of_job, "labels"),
        foreign=foreign_maps(MAPS),
        manifest=manifest_of_image("results/cam/maps"),
    output:
        update("results/cam/maps/{image}.npy"),
    log:
        "results/logs/import_cam/{image}.log",
    benchmark:
        "results/benchmarks/import_cam/{image}.tsv"
