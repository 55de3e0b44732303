"""The three networks: built from configuration, and kept in files that rebuild them.

`registry` has the backbones, one module per family; `cam`, `affinity` and `segmentation` put a
stage's layers on one; `builder` builds a network from its settings; `files` writes and reads it.
Import the modules: importing this package alone loads nothing.
"""
