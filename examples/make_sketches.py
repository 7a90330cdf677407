"""Draw the three example sketches as an unsteady hand would: `python examples/make_sketches.py`.

Each PNG follows from its seed alone, byte for byte on one version of Pillow.
"""

import io
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]

FOLDER = Path(__file__).parent
SIZE_PX = (880, 680)
OVERSAMPLING = 2
INK = "#1d1d1d"


def spline(knots: Points, closed: bool = False) -> Points:
    """A Catmull-Rom curve through the knots, one point about every pixel."""
    padded = (
        np.vstack([knots[-1:], knots, knots[:2]])
        if closed
        else np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    )
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        t = np.linspace(0, 1, max(2, int(np.hypot(*(c - b)))), endpoint=False)[:, None]
        pieces.append(b + (c - a) * t / 2 + (2 * a - 5 * b + 4 * c - d) * t**2 / 2 + (3 * (b - c) + d - a) * t**3 / 2)
    return np.vstack([*pieces, padded[-2][None]])


class Hand:
    """A person with a pen: every line trembles, drifts, and changes its pressure."""

    def __init__(self, seed: int, paper: str) -> None:
        """`paper` is the colour under the drawing: "#ffffff", or "#ffffff00" for a transparent export."""
        self._random = np.random.default_rng(seed)
        self._picture = Image.new("RGBA", [side * OVERSAMPLING for side in SIZE_PX], paper)
        self._pen = ImageDraw.Draw(self._picture)

    def _noise(self, count: int, wavelength_px: float, amplitude_px: float) -> NDArray[np.float64]:
        """Smooth noise along a line, its bumps about `wavelength_px` long."""
        knots = self._random.normal(0, amplitude_px, int(count / wavelength_px * 2) + 4)
        return np.interp(np.linspace(0, len(knots) - 1, count), np.arange(len(knots)), knots)

    def stroke(self, path: Points, colour: str = INK, width_px: float = 6, tremor: float = 1) -> None:
        """Draw a path, one point a pixel, with a hand as unsteady as `tremor` says."""
        count = len(path)
        drift = [self._noise(count, 90, 2.4) + self._noise(count, 20, 1.2) + self._noise(count, 9, 0.45) for _ in "xy"]
        points = (path + tremor * np.stack(drift, axis=1)) * OVERSAMPLING
        radii = (width_px + self._noise(count, 50, width_px * 0.09)) * OVERSAMPLING / 2
        for (x, y), radius in zip(points, radii, strict=True):
            self._pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def line(self, *knots: tuple[float, float], colour: str = INK, width_px: float = 6) -> None:
        """A curve through the knots; its ends miss their goals by a few pixels."""
        path = np.array(knots, dtype=float)
        path[[0, -1]] += self._random.normal(0, 2.0, (2, 2))
        self.stroke(spline(path), colour, width_px)

    def corners(self, *knots: tuple[float, float]) -> None:
        """Straight sides from corner to corner, drawn one after the other."""
        for start, end in itertools.pairwise(knots):
            self.line(start, end)

    def loop(self, x: float, y: float, rx: float, ry: float, width_px: float = 6) -> None:
        """An oval that ends a little past where it began."""
        turn = np.linspace(-1.9, -1.9 + 2 * np.pi + 0.12, 14)
        swell = 1 + self._random.normal(0, 0.025, len(turn))
        self.stroke(
            spline(np.stack([x + rx * swell * np.cos(turn), y + ry * swell * np.sin(turn)], axis=1)),
            width_px=width_px,
        )

    def dot(self, x: float, y: float, radius: float) -> None:
        """A small blob."""
        self.stroke(spline(np.array([(x - radius / 3, y), (x + radius / 3, y + 2)])), INK, radius * 2, tremor=0.3)

    def scribble(self, colour: str, *corners: tuple[float, float], width_px: float = 17) -> None:
        """Colour a polygon in with a broad marker, to and fro, gaps and slips included."""
        outline = np.array([*corners, corners[0]])
        slope, step_px = 0.35, width_px * 0.86
        height = outline[:, 1] - slope * outline[:, 0]
        knots: list[tuple[float, float]] = []
        for level in np.arange(height.min() + step_px * 0.6, height.max() - step_px * 0.3, step_px):
            crossings = []
            for (xa, _), (xb, _), ha, hb in zip(outline, outline[1:], height, height[1:], strict=False):
                if (ha < level) != (hb < level):
                    crossings.append(xa + (level - ha) / (hb - ha) * (xb - xa))
            for left, right in zip(sorted(crossings)[::2], sorted(crossings)[1::2], strict=False):
                ends = np.array([left, right]) + self._random.normal(0, 4, 2) + np.array([8, -8])
                ends = ends if len(knots) % 4 else ends[::-1]
                knots += [(x, level + slope * x + self._random.normal(0, 1.5)) for x in ends]
        path = [
            np.linspace(a, b, max(2, int(np.hypot(b[0] - a[0], b[1] - a[1])))) for a, b in itertools.pairwise(knots)
        ]
        self.stroke(np.vstack(path), colour, width_px, tremor=0.8)

    def png(self) -> bytes:
        """The sheet as a PNG file."""
        out = io.BytesIO()
        self._picture.resize(SIZE_PX, Image.Resampling.BOX).save(out, "PNG", optimize=True)
        return out.getvalue()


def house() -> bytes:
    """A house with a door, two windows, a chimney, a tree and the sun, on white."""
    hand = Hand(seed=11, paper="#ffffff")
    hand.scribble("#e16919", (190, 300), (395, 140), (600, 300))
    hand.scribble("#f1ac4b", (215, 305), (575, 305), (575, 590), (215, 590))
    hand.scribble("#e16919", (360, 430), (440, 430), (440, 590), (360, 590))
    hand.scribble("#099268", (640, 350), (690, 270), (750, 280), (800, 350), (770, 440), (670, 440))
    hand.corners((215, 300), (213, 592), (578, 590), (576, 300))
    hand.corners((180, 306), (395, 132), (612, 304), (180, 304))
    hand.corners((470, 195), (470, 128), (520, 128), (521, 234))
    hand.corners((358, 590), (360, 428), (442, 428), (442, 590))
    hand.dot(424, 514, 5)
    for x in (252, 480):
        hand.scribble("#4465e9", (x, 360), (x + 68, 360), (x + 68, 425), (x, 425), width_px=13)
        hand.corners((x, 360), (x + 68, 360), (x + 68, 425), (x, 425), (x, 358))
        hand.line((x + 34, 362), (x + 34, 424))
        hand.line((x, 392), (x + 67, 392))
    hand.loop(720, 360, 88, 96)
    hand.line((706, 456), (702, 520), (698, 590))
    hand.line((738, 454), (742, 520), (746, 590))
    hand.line((60, 594), (300, 588), (560, 592), (840, 592))
    hand.loop(110, 110, 48, 48)
    for angle in np.arange(0, 2 * np.pi, np.pi / 4) + 0.2:
        direction = np.array([np.cos(angle), np.sin(angle)])
        start, end = (np.array([110, 110]) + direction * far for far in (66, 98))
        hand.line((start[0], start[1]), (end[0], end[1]))
    return hand.png()


def cat() -> bytes:
    """A sitting cat with whiskers, transparent around it."""
    hand = Hand(seed=10, paper="#ffffff00")
    hand.scribble(
        "#f1ac4b",
        (330, 190),
        (346, 104),
        (408, 168),
        (492, 168),
        (552, 104),
        (565, 190),
        (570, 270),
        (500, 335),
        (390, 335),
        (325, 260),
    )
    hand.scribble("#f1ac4b", (390, 345), (505, 345), (570, 450), (590, 610), (300, 610), (325, 450))
    hand.line((395, 338), (345, 420), (310, 520), (300, 612))
    hand.line((505, 338), (560, 430), (588, 520), (594, 612))
    hand.line((300, 612), (450, 620), (594, 612))
    hand.stroke(
        spline(
            np.array(
                [
                    (330, 195),
                    (322, 245),
                    (345, 300),
                    (400, 335),
                    (450, 342),
                    (505, 334),
                    (555, 298),
                    (574, 240),
                    (566, 190),
                ],
                dtype=float,
            )
        )
    )
    hand.corners((332, 200), (344, 84), (412, 146))
    hand.line((408, 146), (450, 138), (490, 147))
    hand.corners((488, 146), (556, 82), (566, 198))
    hand.dot(398, 226, 12)
    hand.dot(500, 226, 12)
    hand.scribble("#e03131", (424, 262), (480, 262), (452, 294), width_px=11)
    hand.corners((420, 258), (484, 258), (452, 294), (420, 258))
    hand.line((452, 294), (446, 308), (428, 316), (410, 306))
    hand.line((452, 294), (458, 308), (476, 316), (494, 306))
    for side, x in ((-1, 376), (1, 526)):
        for rise in (-12, 12):
            hand.line(
                (x, 270 + rise),
                (x + side * 60, 266 + rise * 1.5),
                (x + side * 120, 262 + rise * 2.4),
                width_px=5,
            )
    hand.line((592, 580), (660, 585), (720, 540), (712, 470), (670, 450))
    hand.line((404, 614), (408, 540), (448, 482), (488, 540), (492, 614))
    return hand.png()


def sailboat() -> bytes:
    """A sailboat on waves under two birds, on white."""
    hand = Hand(seed=3, paper="#ffffff")
    hand.scribble("#e03131", (414, 116), (414, 400), (200, 400))
    hand.scribble("#ffc078", (468, 160), (468, 400), (635, 400))
    hand.scribble("#9f6b3f", (185, 445), (690, 445), (610, 545), (265, 545))
    hand.line((440, 70), (439, 250), (441, 442), width_px=7)
    hand.corners((414, 100), (186, 404), (416, 402), (414, 100))
    hand.corners((466, 146), (466, 402), (648, 404), (466, 146))
    hand.corners((170, 440), (704, 440), (612, 550), (260, 550), (170, 440))
    hand.corners((440, 72), (500, 88), (441, 108))
    for x, y in ((60, 596), (130, 640)):
        knots = [(x + 42 * i, y + (14 if i % 2 else -8)) for i in range(18 if y < 600 else 15)]
        hand.line(*knots, colour="#4465e9", width_px=7)
    for x, y in ((650, 120), (740, 170)):
        hand.line((x - 40, y - 12), (x - 20, y - 22), (x, y), width_px=5)
        hand.line((x, y), (x + 22, y - 22), (x + 42, y - 10), width_px=5)
    return hand.png()


if __name__ == "__main__":
    for draw in (house, cat, sailboat):
        (FOLDER / f"{draw.__name__}.png").write_bytes(draw())
