"""The outline of a part as one polygon.

Formats with polygons know neither holes nor objects of several pieces. So the rings of a part,
around its pieces and its holes, are joined into a single one: a line goes to each further ring, and
back the same way. Such a pair of lines encloses nothing.
"""

from __future__ import annotations

import numpy as np
import shapely
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from psa_core.delivery.exports.parts import Part


def outline(part: Part, *, inset: float) -> np.ndarray:
    """The ring around the pixels of a part, along their edges: float [N, 2], x and y in pixels.

    The pixel of row y and column x spans x .. x + 1 and y .. y + 1. The first point is not repeated
    at the end.
    inset: distance by which the ring lies inside the edges of the pixels, above 0 and below 0.5.
    Pieces that touch at a corner are then apart, as are holes.
    """
    shape = shapely.orient_polygons(_region(part).buffer(-inset, join_style="mitre"))
    pieces = shapely.get_parts(shape)
    lines = [ring for piece in pieces for ring in (piece.exterior, *piece.interiors)]
    distances = np.stack([shapely.distance(lines, line) for line in lines])
    tree = minimum_spanning_tree(distances)
    order, parents = breadth_first_order(tree, 0, directed=False)
    ring = shapely.get_coordinates(lines[0])
    for i in order[1:]:
        start, end = shapely.get_coordinates(shapely.shortest_line(lines[parents[i]], lines[i]))
        other = shapely.get_coordinates(lines[i])
        at, first = _position(ring, start), _position(other, end)
        detour = [start, end, *other[first:], *other[1:first], end, start]
        ring = np.concatenate([ring[:at], detour, ring[at:]])
    repeated = (ring == np.roll(ring, 1, axis=0)).all(axis=1)
    return ring[~repeated]


def _region(part: Part) -> shapely.Geometry:
    """The area of the pixels, as a union of their runs in each row."""
    steps = np.diff(part.pixels.astype(np.int8), axis=1, prepend=0, append=0)
    y, start = np.nonzero(steps == 1)
    _, end = np.nonzero(steps == -1)
    y, start, end = y + part.top, start + part.left, end + part.left
    return shapely.union_all(shapely.box(start, y, end, y + 1))


def _position(ring: np.ndarray, point: np.ndarray) -> int:
    """The index in a closed ring, at least 1, before which a point on it is to be inserted."""
    lengths = np.hypot(*np.diff(ring, axis=0).T).cumsum()
    distance = shapely.line_locate_point(shapely.LineString(ring), shapely.Point(point))
    return int(np.searchsorted(lengths, distance - 1e-9)) + 1
