"""Class maps of another method, in place of cam.smk. Needs cam.maps; makes results/cam/maps/."""

MAPS = os.path.normpath(config["cam"]["maps"])

if not os.path.isdir(MAPS):
    raise ConfigError(
        f"cam.maps: {MAPS!r} is not a folder (seen from {os.getcwd()}); name that of the maps"
    )
present = set(os.listdir(MAPS))
if missing := sorted(set(files("{}.npy", IMAGES["train_aug"])) - present):
    raise ConfigError(
        f"cam.maps: {MAPS} lacks the maps of {len(missing)} training images, the first is "
        f"{missing[0]}; save them, or take these images out of the lists"
    )

for shard, images in SHARDS.items():

    rule:
        """Class maps of one shard of images, checked and normalised (paper, eq. 1)."""
        name:
            f"import_cam_{shard}"
        input:
            index=f"results/dataset/shards/{shard}.csv",
            # A missing map of a val image is the job's to report: were it an input, Snakemake
            # would take the image's maps of an earlier run.
            maps=files(f"{MAPS}/{{}}.npy", [i for i in images if f"{i}.npy" in present]),
        output:
            maps=files("results/cam/maps/{}.npy", images),
        log:
            f"results/logs/import_cam/{shard}.log",
        benchmark:
            f"results/benchmarks/import_cam/{shard}.tsv"
        params:
            folder=MAPS,
        script:
            "../scripts/import_cam.py"
