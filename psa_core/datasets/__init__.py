"""Data sets: what the plan knows of them (`inventory`) and what the stages read (`index`).

An image has an id (a safe file name), image-level labels, and a mask or none. There are four lists:
`train_aug` trains the networks and gets pseudo labels, the labels are scored on `train`, the
segmentation model is scored on `val`, and `test` has images only.
"""
