"""Find the lines that a hand meant: each path of the pen as the simplest curves that stay close to it."""

import functools
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from emulator.masks import Mask
from emulator.skeleton import Path, paths

Points = NDArray[np.float64]

STEP_PX = 2.0
CORNER_DEGREES = 42
MOST_LINES = 200
LONGEST_PATH_PX = 12_000  # a longer path is a texture
MOST_TERMS = 9


@dataclass(frozen=True)
class Line:
    """One clean stroke: its points as (x, y), in pixels."""

    points: Points
    closed: bool = False


def centre_lines(mask: Mask, width_px: float) -> list[Line]:
    """Every stroke of the mask as a smooth line; `width_px` is how wide its strokes are."""
    found = [path for path in paths(mask, width_px) if len(path[0]) <= LONGEST_PATH_PX]
    longest = sorted(found, key=lambda path: -len(path[0]))[:MOST_LINES]
    lines = [_smooth(path, closed, width_px) for path, closed in longest]
    return _joined(lines, 1.9 * width_px)


def _resampled(points: Points) -> Points:
    """The same path with a point every `STEP_PX`, ends kept."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    along = np.concatenate([[0], np.cumsum(steps)])
    count = max(2, round(along[-1] / STEP_PX) + 1)
    at = np.linspace(0, along[-1], count)
    return np.stack([np.interp(at, along, points[:, axis]) for axis in (0, 1)], axis=1)


def _smooth(path: Path, closed: bool, width_px: float) -> Line:
    """One pen stroke: corners stay corners, and between them each curve has the fewest terms."""
    points = _resampled(np.array(path, dtype=float)[:, ::-1] + 0.5)
    if len(points) * STEP_PX < 1.5 * width_px:
        return Line(points.mean(axis=0)[None].repeat(2, axis=0))
    if not closed:
        points, closed = _closed_up(points, width_px)
    if closed and (ring := _loop(points[:-1], 2, width_px)) is not None:
        return Line(ring, closed=True)
    corners = _corners(points, closed, width_px)
    if closed and not corners:
        ring = _loop(points[:-1], MOST_TERMS, width_px)
        return Line(_steadied_ring(points, width_px) if ring is None else ring, closed=True)
    if closed:
        points = np.vstack([points[corners[0] : -1], points[: corners[0] + 1]])
        corners = [corner - corners[0] for corner in corners[1:]]
    pieces = _pieces(points, corners, width_px)
    for before, after in pairwise(pieces):
        before[-1] = after[0] = (before[-1] + after[0]) / 2
    if closed:
        pieces[-1][-1] = pieces[0][0]
    return Line(np.vstack(pieces), closed)


def _pieces(points: Points, corners: list[int], width_px: float) -> list[Points]:
    """Curves from corner to corner; a corner is dropped if one curve through it needs no more terms than two curves."""
    parts = []
    for a, b in pairwise([0, *corners, len(points) - 1]):
        parts += _divided(points[a : b + 1], width_px)
    stops = [0, *np.cumsum([len(part) - 1 for part in parts])]
    curves = [_curve(part, width_px) for part in parts]
    at = 1
    while at < len(stops) - 1:
        shorter = min(stops[at] - stops[at - 1], stops[at + 1] - stops[at])
        through = _curve(points[stops[at - 1] : stops[at + 1] + 1], width_px, shorter)
        before, after = curves[at - 1][1], curves[at][1]
        # Straight sides make a corner; two bends that meet are likelier one bend that was drawn unsteadily.
        if through[1] <= before + after + (min(before, after) > 1):
            curves[at - 1 : at + 1] = [through]
            del stops[at]
            at = max(1, at - 1)
        else:
            at += 1
    return [curve for curve, _ in curves]


def _divided(points: Points, width_px: float) -> list[Points]:
    """A path that no short polynomial follows, cut at its farthest points where the parts are simpler."""
    whole = _curve(points, width_px)[1]
    if whole <= MOST_TERMS or len(points) * STEP_PX < 8 * width_px:
        return [points]
    chord = points[-1] - points[0]
    span = float(np.hypot(*chord))
    offset = points - points[0]
    away = np.abs(offset @ [-chord[1], chord[0]]) / span if span > width_px else np.hypot(*offset.T)
    margin = len(points) // 10
    cut = margin + int(away[margin : len(points) - margin].argmax())
    parts = _divided(points[: cut + 1], width_px) + _divided(points[cut:], width_px)
    terms = sum(_curve(part, width_px)[1] + 2 for part in parts)
    return parts if terms < whole else [points]


def _closed_up(points: Points, width_px: float) -> tuple[Points, bool]:
    """Close a long line whose ends nearly meet, or cross, and cut off what overlaps."""
    near = min(len(points) // 8, 250)
    if near * STEP_PX < width_px:
        return points, False
    head, tail = points[:near], points[-near:]
    gaps = np.hypot(*(head[:, None] - tail[None]).transpose(2, 0, 1))
    gaps += 0.05 * STEP_PX * (np.arange(near)[:, None] + np.arange(near)[::-1])
    start, stop = np.unravel_index(gaps.argmin(), gaps.shape)
    if gaps[start, stop] > 2.2 * width_px:
        return points, False
    ring = points[start : len(points) - near + stop + 1]
    return np.vstack([ring, ring[:1]]), True


def _corners(points: Points, closed: bool, width_px: float) -> list[int]:
    """Where the path turns sharply, seen over an arm on either side that is longer than any tremor."""
    arm = max(4, round(2.4 * width_px / STEP_PX))
    if len(points) < 3 * arm:
        return []
    ring = points[:-1] if closed else points
    turn = _turns(ring, arm, closed)
    # Over half the arm, a round bend turns half as much, and a corner just as much.
    turn[_turns(ring, arm // 2, closed) < 0.5 * turn] = 0
    if not closed:
        turn[: arm // 2], turn[-(arm // 2) :] = 0, 0
    corners: list[int] = []
    for index in np.argsort(-turn, kind="stable"):
        if turn[index] < CORNER_DEGREES:
            break
        gaps = [abs(int(index) - corner) for corner in corners]
        if all(min(gap, len(ring) - gap if closed else gap) > arm for gap in gaps):
            corners.append(int(index))
    return sorted(corners)


def _turns(ring: Points, arm: int, closed: bool) -> NDArray[np.float64]:
    """By how many degrees the path turns at each point, seen from `arm` points before to `arm` after."""
    at = np.arange(len(ring))
    if closed:
        before, after = ring[at - arm], ring[(at + arm) % len(ring)]
    else:
        before, after = ring[np.maximum(at - arm, 0)], ring[np.minimum(at + arm, len(ring) - 1)]
    into, out = (ring - before) @ [1, 1j], (after - ring) @ [1, 1j]
    turns: NDArray[np.float64] = np.degrees(np.abs(np.angle(out * np.conj(into))))
    return turns


def _tolerance(count: int, width_px: float) -> float:
    """How far a smooth line may leave the drawn one, in pixels: less where the drawing is small."""
    return float(np.clip(0.065 * STEP_PX * count, 1.4, 0.95 * width_px))


def _curve(points: Points, width_px: float, count: int | None = None) -> tuple[Points, float]:
    """The simplest curve that stays close to an open path, and its number of terms; one is a straight line."""
    tolerance = _tolerance(count or len(points), width_px)
    if len(points) > 2:
        basis, weight = _polynomials(len(points))
        shares = basis[:, :, None] * (basis.T @ (points * weight))
        fitted = shares.cumsum(axis=1)[:, 1:] / weight[:, None]
        furthest = np.hypot(*np.moveaxis(fitted - points[:, None], 2, 0)).max(axis=0)
        if (furthest <= tolerance).any():
            terms = int((furthest <= tolerance).argmax())
            return fitted[:, terms].copy(), terms + 1
    return _steadied(points, 1.4 * width_px / STEP_PX), MOST_TERMS + 1 + len(points) * STEP_PX / (2.5 * width_px)


@functools.lru_cache(1024)
def _polynomials(count: int) -> tuple[Points, Points]:
    """Orthonormal polynomials over `count` points, lowest degree first, and the weights, which hold the ends."""
    weight = np.ones((count, 1))
    weight[[0, -1]] = 6
    powers = chebyshev.chebvander(np.linspace(-1, 1, count), min(MOST_TERMS, count - 1))
    return np.linalg.qr(powers * weight)[0], weight


def _steadied(points: Points, sigma: float) -> Points:
    """A long winding path with its tremor averaged out. The second round gives bends back what the first took off."""
    reach = min(round(3 * sigma), len(points) - 1)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)

    def averaged(path: Points) -> Points:
        head, tail = 2 * path[0] - path[reach:0:-1], 2 * path[-1] - path[-2 : -2 - reach : -1]
        long = np.vstack([head, path, tail])
        return np.stack([np.convolve(long[:, axis], bell / bell.sum(), "valid") for axis in (0, 1)], axis=1)

    once = averaged(points)
    return once + averaged(points - once)


def _loop(points: Points, most_terms: int, width_px: float) -> Points | None:
    """The Fourier series with the fewest terms that stays close to a closed path; one is an ellipse."""
    path = points @ [1, 1j]
    radius_px = np.abs(path - path.mean()).mean()
    tolerance = max(_tolerance(len(points) // 3, width_px), 0.05 * radius_px)
    terms = np.fft.fft(path)
    order = np.abs(np.fft.fftfreq(len(points), 1 / len(points)))
    for highest in range(1, most_terms + 1):
        ring = np.fft.ifft(np.where(order <= highest, terms, 0))
        if np.abs(ring - path).max() <= tolerance:
            return np.stack([ring.real, ring.imag], axis=1)
    return None


def _steadied_ring(points: Points, width_px: float) -> Points:
    """A closed path with its tremor averaged out."""
    ring, turns = points[:-1], len(points) - 1
    return _steadied(np.vstack([ring, ring, ring]), 1.4 * width_px / STEP_PX)[turns : 2 * turns]


def _joined(lines: list[Line], reach_px: float) -> list[Line]:
    """Move each loose end that almost touches a line onto it: the pen meant to meet it."""
    if not lines:
        return []
    targets = np.vstack([line.points for line in lines])
    owners = np.repeat(np.arange(len(lines)), [len(line.points) for line in lines])
    joined = []
    for number, line in enumerate(lines):
        points = line.points
        length = float(np.hypot(*np.diff(points, axis=0).T).sum())
        others = targets[owners != number]
        if not line.closed and length >= reach_px and len(others):
            fade = np.linspace(1, 0, len(points))[:, None]
            for end, weight in ((0, fade), (-1, fade[::-1])):
                gaps = np.hypot(*(others - points[end]).T)
                if gaps.min() <= reach_px:
                    points = points + (others[gaps.argmin()] - points[end]) * weight
        joined.append(Line(points, line.closed))
    return joined
