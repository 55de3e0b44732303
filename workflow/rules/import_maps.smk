"""Class maps of another method, in place of cam.smk. Needs cam.maps; makes results/cam/maps/."""

FOREIGN = os.path.normpath(config["cam"]["maps"]).replace("{", "{{").replace("}", "}}") + "/{}.npy"


rule import_maps:
    """Class maps of one shard of images, checked and normalised (paper, eq. 1)."""
    input:
        images=of_shard("results/dataset/images/{}.csv"),
        shard=own_shard("results/cam/maps/{}.txt"),
    output:
        manifest="results/cam/maps/{shard}.txt",
    log:
        "results/logs/import_maps/{shard}.log",
    benchmark:
        "results/benchmarks/import_maps/{shard}.tsv"
    params:
        foreign=FOREIGN,
        contents=lambda w: contents_of(map(FOREIGN.format, DATA.images_of(shard_of_job(w)))),
        maps="results/cam/maps/{}.npy",
        code=code_of("import_maps"),
    script:
        "../scripts/import_maps.py"


use rule import_maps as import_maps_of_image with:
    output:
        update("results/cam/maps/{image}.npy"),
    log:
        "results/logs/import_maps/{image}.log",
    benchmark:
        "results/benchmarks/import_maps/{image}.tsv"
    priority: 1
