"""COCO's JSON: images, annotations, categories. An annotation labels its image; boxes suffice."""

from collections import defaultdict
from pathlib import Path

from psa_core.datasets.formats.labels.names import composed
from psa_core.datasets.formats.labels.rows import Labels, Malformed, Row, member

KEYS = ("categories", "images", "annotations")


def is_coco(content: object) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in KEYS)


def read(path: Path, content: dict, problems: list[str]) -> Labels:
    """Labels of an instances or panoptic JSON; the classes are in the order of their ids.

    Raises Malformed where an entry lacks what COCO requires. Unknown ids are problems.
    """
    for number, each in enumerate(content["categories"], start=1):
        member(each, "id", int, f"category {number} of the file")
        member(each, "name", str, f"category {number} of the file")
    for number, each in enumerate(content["annotations"], start=1):
        place = f"annotation {number} of the file"
        member(each, "image_id", (int, str), place)
        is_panoptic = each.get("segments_info") is not None
        if is_panoptic:
            member(each, "file_name", str, place)
        for segment in member(each, "segments_info", list, place) if is_panoptic else [each]:
            member(segment, "category_id", int, place)
    names = {thing["id"]: composed(thing["name"].strip()) for thing in classes_of(content)}
    problems += [
        f"{path}: several categories have the name {name!r}: give each a name of its own"
        for name in sorted({n for n in names.values() if list(names.values()).count(n) > 1})
    ]
    named = defaultdict(set)
    for each in content["categories"]:
        named[each["id"]].add(each["name"].strip())
    problems += [
        f"{path}: the category id {number} has the names {', '.join(map(repr, sorted(found)))}: "
        "give each category an id of its own"
        for number, found in named.items()
        if len(found) > 1
    ]
    objects = by_image(content["annotations"])
    problems += unknown_categories(path, objects, {each["id"] for each in content["categories"]})
    rows: dict[int | str, Row] = {}
    for number, each in enumerate(content["images"], start=1):
        name = member(each, "file_name", str, f"image {number} of the file")
        image = member(each, "id", (int, str), f"image {number} of the file")
        if image in rows:
            raise Malformed(f"image {number} of the file: another one has the id {image!r}, too")
        found = {names.get(one["category_id"]) for one in objects.pop(image, ())}
        rows[image] = Row(f"image {image!r}", name, [n for n in names.values() if n in found])
    stray = {a["image_id"]: a for a in content["annotations"] if a["image_id"] in objects}
    problems += [
        f"{path}: annotation {each.get('id', each.get('file_name'))!r} names the image {image!r}, "
        "which is not in its images: add the image or remove the annotation"
        for image, each in stray.items()
    ]
    return Labels(list(rows.values()), tuple(names.values()))


def classes_of(content: dict) -> list[dict]:
    """The categories that become classes, in the order of their ids.

    Some tools add a category that only groups the others; without annotations it is no class.
    """
    things = [each for each in content["categories"] if each.get("isthing", 1)]
    used = {
        segment.get("category_id")
        for each in content["annotations"]
        for segment in ([each] if each.get("segments_info") is None else each["segments_info"])
    }
    groups = [c.get("supercategory") for c in things if c.get("supercategory") != c["name"]]
    things = [each for each in things if each["name"] not in groups or each["id"] in used]
    return sorted(things, key=lambda thing: thing["id"])


def by_image(annotations: list[dict]) -> dict[int | str, list[dict]]:
    """The objects of each image by its id; those of a panoptic JSON name their file in `png`."""
    objects = defaultdict(list)
    for each in annotations:
        segments = each.get("segments_info")
        if segments is None:
            objects[each["image_id"]].append(each)
        else:
            objects[each["image_id"]] += [{**s, "png": each["file_name"]} for s in segments]
    return objects


def unknown_categories(
    path: Path, objects: dict[int | str, list[dict]], known: set[int]
) -> list[str]:
    """Problems with annotations whose category is not in the file."""
    return [
        f"{path}: annotation {each.get('id')!r} of image {image!r} has the category id "
        f"{each['category_id']}, which is not in its categories: add the category or remove the "
        "annotation"
        for image, found in objects.items()
        for each in found
        if each["category_id"] not in known
    ]
