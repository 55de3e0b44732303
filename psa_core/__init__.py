"""AffinityNet (PSA): segmentation labels and models from image-level class labels.

Data flows one way, a file at a time: `datasets` -> `cam` -> `affinity` -> `walk` -> `labels` ->
`segmentation` -> `metrics`, the stages of the workflow; the other modules help them. Each can be
called from a notebook; none of them reads a config file or builds a path under results/.
"""

__version__ = "0.1.0"
