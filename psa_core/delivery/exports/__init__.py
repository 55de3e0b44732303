"""Masks in the formats of other tools, one module per format.

A module has write(path, images, names): images are `parts.MaskedImage` in the order to be written,
names the classes 1..C. Standard library only: the Snakefile reads FORMATS at each start.
"""

# The file that each format is written to. The module has the name of the format.
FORMATS = {
    "coco": "coco.json",
    "coco_polygons": "coco_polygons.json",
    "yolo": "yolo.zip",
    "labelme": "labelme.zip",
    "cvat": "cvat.zip",
    "voc": "voc.zip",
}
