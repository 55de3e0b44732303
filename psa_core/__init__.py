"""AffinityNet (PSA): segmentation labels and models from image-level class labels.

`method` holds the stages of the paper, `networks` the three networks that they use, `training` the
loop that trains them. `datasets` reads images and labels, `evaluation` scores and draws results,
`delivery` has the command `psa`, model files and exports, `runtime` deals with files, processes and
logs. All of it can be called from a notebook: nothing here imports snakemake or builds a path
under results/.
"""

__version__ = "0.1.0"
