"""Trace the paths that a pen took through a mask: its skeleton, followed straight on through crossings."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emulator.masks import Mask

STRAIGHT_ON_DEGREES = 48
MOST_ROUNDS = 24
MOST_PIXELS = 60_000  # more is a texture, not a drawing: ten times a detailed sketch

Pixel = tuple[int, int]
Path = list[Pixel]
End = tuple[int, int]  # number of an edge, and 0 for its first point or -1 for its last


def paths(mask: Mask, width_px: float) -> list[tuple[Path, bool]]:
    """Every path as (y, x) pixels, and whether it ends where it began; `width_px` is the pen's width."""
    skeleton = thinned(mask)
    if skeleton.sum() > MOST_PIXELS:
        return []
    edges, loops = _edges(skeleton)
    return _chains(edges, width_px) + [(loop, True) for loop in loops]


def neighbourhoods(mask: Mask) -> NDArray[np.uint8]:
    """Each pixel's eight neighbours as bits, clockwise from north."""
    padded = np.pad(mask, 1).astype(np.uint8)
    height, width = mask.shape
    around = [(0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0)]
    code = np.zeros(mask.shape, np.uint8)
    for bit, (y, x) in enumerate(around):
        code |= padded[y : y + height, x : x + width] << np.uint8(bit)
    return code


def _removable(first: bool) -> Mask:
    """Zhang and Suen's two conditions (CACM 27/3, 1984) for all 256 neighbourhoods."""
    table = np.zeros(256, np.bool_)
    for code in range(256):
        ring = [code >> bit & 1 for bit in range(8)]
        rises = sum(a < b for a, b in pairwise([*ring, ring[0]]))
        north, east, south, west = ring[0], ring[2], ring[4], ring[6]
        sides = north * east * south or east * south * west if first else north * east * west or north * south * west
        table[code] = 2 <= sum(ring) <= 6 and rises == 1 and not sides
    return table


_PASSES = (_removable(True), _removable(False))


def thinned(mask: Mask) -> Mask:
    """The mask's skeleton, one pixel wide; what is far thicker than a stroke is left thick."""
    thin = mask.copy()
    for _ in range(MOST_ROUNDS):
        before = int(thin.sum())
        for removable in _PASSES:
            thin &= ~removable[neighbourhoods(thin)]
        if int(thin.sum()) == before:
            break
    return thin


def _edges(skeleton: Mask) -> tuple[list[Path], list[Path]]:
    """The skeleton as paths between end points and junctions, and as loops that have neither."""
    pixels = {(int(y), int(x)) for y, x in zip(*np.nonzero(skeleton), strict=True)}
    links = {pixel: _links(pixel, pixels) for pixel in pixels}
    nodes = {pixel for pixel, linked in links.items() if len(linked) != 2}
    edges: list[Path] = []
    walked: set[tuple[Pixel, Pixel]] = set()
    for node in sorted(nodes):
        for step in links[node]:
            if (node, step) in walked:
                continue
            path = [node, step]
            while path[-1] not in nodes:
                path.append(next(p for p in links[path[-1]] if p != path[-2]))
            walked |= {(node, step), (path[-1], path[-2])}
            edges.append(path)
        if not links[node]:
            edges.append([node, node])
    rest = pixels - nodes - {pixel for path in edges for pixel in path}
    return edges, _loops(rest, links)


def _loops(rest: set[Pixel], links: dict[Pixel, list[Pixel]]) -> list[Path]:
    """The rings among pixels that all have two neighbours."""
    loops = []
    for start in sorted(rest):
        if start in rest:
            loop = [start, links[start][0]]
            while loop[-1] != start:
                loop.append(next(p for p in links[loop[-1]] if p != loop[-2]))
            rest -= set(loop)
            loops.append(loop)
    return loops


def _links(pixel: Pixel, pixels: set[Pixel]) -> list[Pixel]:
    """A pixel's neighbours on the skeleton: diagonal ones only where no straight one leads there."""
    y, x = pixel
    near = [p for p in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)) if p in pixels]
    for dy in (-1, 1):
        for dx in (-1, 1):
            if (y + dy, x + dx) in pixels and (y + dy, x) not in pixels and (y, x + dx) not in pixels:
                near.append((y + dy, x + dx))
    return near


def _chains(edges: list[Path], width_px: float) -> list[tuple[Path, bool]]:
    """Join edges that go straight on through a junction, as the pen did; leave out spurs."""
    degree: dict[Pixel, int] = defaultdict(int)
    for edge in edges:
        degree[edge[0]] += 1
        degree[edge[-1]] += 1
    joint = {pixel: pixel for pixel in degree}

    def find(pixel: Pixel) -> Pixel:
        while joint[pixel] != pixel:
            pixel = joint[pixel]
        return pixel

    kept = []
    for edge in edges:
        free = (degree[edge[0]] == 1) + (degree[edge[-1]] == 1)
        if free == 0 and len(edge) <= 1.3 * width_px and edge[0] != edge[-1]:
            joint[find(edge[0])] = find(edge[-1])
        elif free != 1 or len(edge) > 1.7 * width_px:
            kept.append(edge)
    meeting: dict[Pixel, list[End]] = defaultdict(list)
    for number, edge in enumerate(kept):
        for end in (0, -1):
            meeting[find(edge[end])].append((number, end))
    partner: dict[End, End] = {}
    for ends in meeting.values():
        partner |= _partners(kept, ends, width_px)
    return _follow(kept, partner)


def _partners(edges: list[Path], ends: list[End], width_px: float) -> dict[End, End]:
    """Pair the ends that meet in one junction, straightest first; two alone are always a pair."""
    reach = int(2.5 * width_px)
    away = {}
    for number, end in ends:
        path = edges[number] if end == 0 else edges[number][::-1]
        far, near = path[min(reach, len(path) - 1)], path[min(3, len(path) - 1)]
        away[number, end] = np.arctan2(far[0] - near[0], far[1] - near[1])
    pairs = []
    for i, a in enumerate(ends):
        for b in ends[i + 1 :]:
            bend = abs((away[a] - away[b] + 2 * np.pi) % (2 * np.pi) - np.pi)
            if len(ends) == 2 or bend < np.radians(STRAIGHT_ON_DEGREES):
                pairs.append((bend, a, b))
    partner: dict[End, End] = {}
    for _, a, b in sorted(pairs):
        if a not in partner and b not in partner:
            partner |= {a: b, b: a}
    return partner


def _follow(edges: list[Path], partner: dict[End, End]) -> list[tuple[Path, bool]]:
    """Walk from edge to edge through the pairs; true says that the chain ends where it began."""
    chains: list[tuple[Path, bool]] = []
    seen: set[int] = set()
    starts = [(n, end) for n in range(len(edges)) for end in (0, -1) if (n, end) not in partner]
    for start in starts + [(n, 0) for n in range(len(edges))]:
        chain: Path = []
        here: End | None = start
        while here is not None and here[0] not in seen:
            number, end = here
            seen.add(number)
            chain += edges[number] if end == 0 else edges[number][::-1]
            here = partner.get((number, -1 - end))
        if chain:
            chains.append((chain, here is not None))
    return chains
