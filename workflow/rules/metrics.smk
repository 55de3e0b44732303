"""Scores. Needs each stage's label maps and the true masks; makes results/metrics.csv."""

METRICS = "results/metrics.csv"
PART_OF_SPLIT = {"train": "train_aug", "val": "val"}
# Score files: stage, split, what is scored. The last five are made for the tables alone.
SCORES = {
    "cam": ("cam", "train", "results/cam/maps/{}.npy"),
    "walk": ("walk", "train", "results/walk/labels/{}.png"),
    "pseudo_labels": ("pseudo_labels", "train", "results/pseudo_labels/{}.png"),
    "segmentation": ("segmentation", "val", "results/segmentation/predictions/{}.png"),
    "superpixels": ("superpixels", "train", "results/superpixels/{}.png"),
    "val_cam": ("cam", "val", "results/cam/maps/{}.npy"),
    "val_walk": ("walk", "val", "results/walk/labels/{}.png"),
    "val_pseudo_labels": ("pseudo_labels", "val", "results/pseudo_labels/{}.png"),
    "upper_bound": ("upper_bound", "val", "results/upper_bound/predictions/{}.png"),
}
OF_RUN = [s for s in ("cam", "walk", "pseudo_labels", "segmentation") if DATA.scored[SCORES[s][1]]]
SCORE_FILES = [f"results/metrics/{scored}.csv" for scored in OF_RUN]

for scored, (stage, split, pattern) in SCORES.items():

    rule:
        """Score a stage's label maps, or its class maps with the background of eq. 2."""
        name:
            f"evaluate_{scored}"
        input:
            images=tables(PART_OF_SPLIT[split]) if stage == "cam" else [],
            classes=CLASSES,
            scored=f"results/dataset/scored_{split}.txt",
            masks=of_shards(MASKS, DATA.shards(PART_OF_SPLIT[split])),
            predicted=of_shards(pattern, DATA.shards(PART_OF_SPLIT[split])),
        output:
            f"results/metrics/{scored}.csv",
        log:
            f"results/logs/evaluate_{scored}.log",
        benchmark:
            f"results/benchmarks/evaluate_{scored}.tsv"
        localrule: True
        params:
            stage=stage,
            split=split,
            settings=settings(alpha=config["cam"]["alpha"]) if stage == "cam" else {},
            masks=MASKS,
            predicted=pattern,
            code=code_of("evaluate"),
        script:
            "../scripts/evaluate.py"


# What every run makes, and Snakemake does not miss: files of a part's images, and whole files.
MADE = [(pattern, PART_OF_SPLIT[split]) for _, split, pattern in list(SCORES.values())[:4]]
MADE += [("results/walk/scores/{}.npy", "train_aug")]
MADE += [("results/affinity_labels/{}.png", "train_aug")] if config["affinity"]["train"] else []
MADE += [(MASKS, "train_aug")] if DATA.scored["train"] or TRUE_MASKS else []
MADE += [(MASKS, "val")] if DATA.scored["val"] else []
MADE_WHOLE = [
    CLASSES,
    *tables("train_aug", "val"),
    *SCORE_FILES,
    *CHECKS,
    CHECK,
    SUMMARY,
    *EXPONENTS,
    *NETWORKS,
]
MADE_WHOLE += [f"results/affinity/edges/{shard}.h5" for shard in DATA.shards("train_aug")]
MADE_WHOLE += [CORRECTIONS] if DATA.corrections else []
MADE_WHOLE += [m for pattern, part in MADE for m in of_shards(pattern, DATA.shards(part))]
MADE_WHOLE += [
    f"results/dataset/scored_{split}.txt" for split in PART_OF_SPLIT if DATA.scored[split]
]
MADE_WHOLE += [
    f"results/dataset/masks/{shard}.csv"
    for pattern, part in MADE
    if pattern == MASKS
    for shard in DATA.shards(part)
]
LOST = [file for file in MADE_WHOLE if os.path.exists(METRICS) and not os.path.exists(file)]


rule metrics:
    """All scores in one table; it is empty without true masks."""
    input:
        scores=SCORE_FILES,
        network="results/segmentation/network.safetensors",
        labels=of_shards("results/pseudo_labels/{}.png", DATA.shards("train_aug")),
        check=CHECK,
        predictions=of_shards("results/segmentation/predictions/{}.png", DATA.shards("val")),
        deleted=[file for pattern, part in MADE for file in deleted(pattern, part)],
        summary=ancient(SUMMARY),
        lost=LOST + [str(next(filter(Path.exists, Path(file).parents))) for file in LOST],
    output:
        report(METRICS, caption="../report/metrics_table.rst", category="Scores"),
    log:
        "results/logs/metrics.log",
    localrule: True
    params:
        scored=OF_RUN,
        code=code_of("metrics"),
    script:
        "../scripts/metrics.py"
