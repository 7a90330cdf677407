"""Measure and grow the shapes in a mask: true pixels on false ones."""

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]


def grown(mask: Mask, radius_px: float) -> Mask:
    """Every pixel within about `radius_px` of the mask: an octagon stands in for the disc."""
    wide = mask
    for step in range(round(radius_px)):
        wide = _spread(wide, diagonally=step % 2 == 1)
    return wide


def depth(mask: Mask, most_px: int) -> Labels:
    """How many pixels deep inside the mask each pixel lies, counted up to `most_px`."""
    deep = np.zeros(mask.shape, np.int32)
    outside = ~mask
    for step in range(most_px):
        if outside.all():
            break
        deep += ~outside
        outside = _spread(outside, diagonally=step % 2 == 1)
    return deep


def _spread(mask: Mask, diagonally: bool) -> Mask:
    """The mask and its neighbours."""
    tall = mask.copy()
    tall[1:] |= mask[:-1]
    tall[:-1] |= mask[1:]
    source = tall if diagonally else mask
    wide = tall.copy()
    wide[:, 1:] |= source[:, :-1]
    wide[:, :-1] |= source[:, 1:]
    return wide


def ellipse(mask: Mask) -> tuple[float, float, float, float, float]:
    """The ellipse with the mask's moments: centre x and y, its two radii in pixels, its turn in degrees."""
    y, x = np.nonzero(mask)
    # A pixel is a square, not a point: 1/12 is its own second moment.
    xx, xy, yy = x.var() + 1 / 12, ((x - x.mean()) * (y - y.mean())).mean(), y.var() + 1 / 12
    spread = np.hypot(xx - yy, 2 * xy)
    radii = np.sqrt(2 * (xx + yy + spread)), np.sqrt(max(2 * (xx + yy - spread), 0))
    return x.mean() + 0.5, y.mean() + 0.5, *radii, float(np.degrees(np.arctan2(2 * xy, xx - yy) / 2))


def regions(mask: Mask) -> tuple[Labels, int]:
    """Number the four-connected parts of a mask from 1; 0 lies outside. Also returns how many there are."""
    height, width = mask.shape
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    stops = np.nonzero(edges == -1)[1]
    parent = list(range(len(rows)))

    def find(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    first = np.searchsorted(rows, np.arange(height + 1)).tolist()
    left, right = starts.tolist(), stops.tolist()
    for row in range(1, height):
        above, here = first[row - 1], first[row]
        while above < first[row] and here < first[row + 1]:
            if left[above] < right[here] and left[here] < right[above]:
                parent[find(here)] = find(above)
            if right[above] < right[here]:
                above += 1
            else:
                here += 1
    roots = np.array([find(run) for run in range(len(rows))], dtype=np.int32)
    names, numbers = np.unique(roots, return_inverse=True)
    line = np.zeros(height * width + 1, np.int32)
    np.add.at(line, rows * width + starts, numbers + 1)
    np.add.at(line, rows * width + stops, -(numbers + 1))
    return np.cumsum(line)[:-1].reshape(height, width).astype(np.int32), len(names)
