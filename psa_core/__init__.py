"""AffinityNet (PSA): segmentation labels and models from image-level class labels.

Data flows one way, a file at a time: `datasets` -> `cam` -> `affinity` -> `walk` -> `labels` ->
`segmentation` -> `metrics`. Each module is one stage of the workflow and can be called from a
notebook; none of them reads a config file, builds a path under results/ or knows the workflow.
"""

__version__ = "0.1.0"
