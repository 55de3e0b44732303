"""CVAT's XML, "CVAT for images 1.1": tags and shapes label their image."""

from xml.etree.ElementTree import Element

from psa_core.datasets.formats.labels.names import composed
from psa_core.datasets.formats.labels.rows import Labels, Malformed, Row


def read(root: Element) -> Labels:
    """Labels of the images of an XML file. Raises Malformed for a video or a missing name.

    root: the element `annotations`. Points of a skeleton are parts of it and do not count.
    """
    if root.find("track") is not None:
        raise Malformed('tracks of a video: export the task as "CVAT for images 1.1"')
    rows = []
    for number, image in enumerate(root.iterfind("image")):
        place = f"image {image.get('id', number)}"
        name = image.get("name")
        if name is None:
            raise Malformed(f"{place}: it has no name")
        labels = dict.fromkeys(composed(each.get("label", "").strip()) for each in image)
        rows.append(Row(place, name, [label for label in labels if label]))
    return Labels(rows)
