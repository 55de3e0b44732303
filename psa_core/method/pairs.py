"""Pairs of neighbouring cells of a feature map (paper, eq. 4)."""


def neighbour_offsets(gamma: float) -> list[tuple[int, int]]:
    """Offsets (dy, dx) from a cell to its neighbours, 0 < distance < gamma (paper, eq. 4).

    Only those of one half plane, below the cell or right of it in its row, so that each unordered
    pair occurs once; 34 at gamma 5. Sorted by dy, then dx.
    """
    reach = range(-int(gamma), int(gamma) + 1)
    return [
        (dy, dx)
        for dy in reach
        for dx in reach
        if (dy > 0 or (dy == 0 and dx > 0)) and dy * dy + dx * dx < gamma * gamma
    ]


def inner_cells(gamma: float, height: int, width: int) -> tuple[slice, slice]:
    """Slices of the rows and columns of cells that have all their neighbours within the map."""
    offsets = neighbour_offsets(gamma)
    down = max((dy for dy, _ in offsets), default=0)
    aside = max((abs(dx) for _, dx in offsets), default=0)
    return slice(0, max(0, height - down)), slice(aside, max(aside, width - aside))


def pair_slices(
    offset: tuple[int, int], height: int, width: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices that select all pairs of an offset: (rows, columns) of the first cells, of the second.

    offset: (dy, dx) with dy >= 0. The slices are empty if the map is smaller than the offset.
    """
    dy, dx = offset
    rows = slice(0, max(0, height - dy)), slice(dy, None)
    if dx >= 0:
        columns = slice(0, max(0, width - dx)), slice(dx, None)
    else:
        columns = slice(-dx, None), slice(0, max(0, width + dx))
    return (rows[0], columns[0]), (rows[1], columns[1])
