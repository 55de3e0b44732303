"""Published data sets, converted to the formats that the workflow reads: downloads, SBD, COCO."""
