"""Clean up a sketch offline: even strokes along the lines that were meant, flat colours inside them."""

import io
from dataclasses import dataclass, field

import numpy as np
import resvg_py
import vtracer
from PIL import Image, ImageFilter

from emulator.flatten import flattened
from emulator.masks import Labels, Mask, depth, ellipse, grown, regions
from emulator.skeleton import thinned
from emulator.strokes import Line, centre_lines

LONG_SIDE_PX = 1024
SHORTEST_SIDE_PX = 16  # the function takes no smaller picture
MOST_COLOURS = 5
THICKEST_STROKE_PX = 26
COLOURED_IN_SHARE = 0.4
SMALLEST_SHAPE_PX = 60
SHUT_GAPS_PX = 5
FIRMER = 1.15  # strokes come out a little wider than they were drawn


@dataclass(frozen=True)
class Redrawn:
    """A clean drawing, and what can honestly be said about it."""

    png: bytes
    palette: list[str]
    title: str
    style: str
    background: str
    notes: str


@dataclass
class _Sheet:
    """The drawing as it grows: flat shapes below (0, or 1 + colour), strokes above."""

    shapes: Labels
    strokes: list[str] = field(default_factory=list)
    stroke_count: int = 0

    def draw(self, lines: list[Line], colour: str, width_px: float) -> str:
        """Put lines on top, and return their SVG."""
        path = " ".join(_path(line) for line in lines)
        stroke = (
            f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width_px:.1f}"'
            ' stroke-linecap="round" stroke-linejoin="round"/>'
        )
        self.strokes.append(stroke)
        self.stroke_count += len(lines)
        return stroke


def redraw(png: bytes) -> Redrawn:
    """The same drawing as an illustration, 1024 px on the long side, at least 16 on the other; OSError if not a PNG."""
    colours, labels = flattened(_on_white(png), MOST_COLOURS)
    scale = LONG_SIDE_PX / max(labels.shape)
    height, width = (max(SHORTEST_SIDE_PX, round(side * scale)) for side in labels.shape)
    palette = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in colours.round().astype(int)]
    sheet = _Sheet(np.zeros((height, width), np.int32))
    masks = [_enlarged(labels == number, (width, height)) for number in range(1, len(palette) + 1)]
    if palette:
        ink_px = _draw_ink(sheet, masks, palette)
        _draw_leftovers(sheet, masks, palette, ink_px)
    drawing = _svg("".join([_shapes_svg(sheet.shapes, palette), *sheet.strokes]), width, height)
    notes = (
        "Redrawn offline by the emulator's stand-in, not by Gemini: "
        f"{_count(sheet.stroke_count, 'stroke')} smoothed, {_count(len(palette), 'colour')} kept."
    )
    return Redrawn(_rendered(drawing), palette, "Redrawn sketch", "clean flat vector", "transparent", notes)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _on_white(png: bytes) -> Image.Image:
    """The picture over white, as RGB, its long side at most 1024 px."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
        opened.load()
        picture: Image.Image = opened
        if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip to 8 rather than scale
            picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        picture = picture.convert("RGBA")
    shrink = min(1.0, LONG_SIDE_PX / max(picture.size))
    size = (max(1, round(picture.width * shrink)), max(1, round(picture.height * shrink)))
    small = picture.resize(size, Image.Resampling.BOX)
    return Image.alpha_composite(Image.new("RGBA", size, "white"), small).convert("RGB")


def _enlarged(mask: Mask, size: tuple[int, int]) -> Mask:
    """The mask at another size, its edges smooth."""
    image = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(1.5))) > 127


def _split(mask: Mask) -> tuple[Mask, Mask, float]:
    """Strokes, blobs too thick to be strokes, and how wide the strokes are."""
    deep = depth(mask, THICKEST_STROKE_PX)
    solid = deep >= THICKEST_STROKE_PX // 2
    slim = mask & ~grown(solid, THICKEST_STROKE_PX // 2 + 1) if solid.any() else mask
    spine = deep[thinned(slim)]
    width_px = float(np.clip(2 * np.median(spine) - 0.6 if len(spine) else 8, 4, THICKEST_STROKE_PX))
    thick_px = min(1.45 * width_px, THICKEST_STROKE_PX / 2)
    core = deep > thick_px
    if not core.any():
        return mask, core, width_px
    blobs = grown(core, thick_px) & mask
    return mask & ~grown(blobs, 1), blobs, width_px


def _draw_ink(sheet: _Sheet, masks: list[Mask], palette: list[str]) -> float:
    """Draw the outlines, fill what was coloured in between them, and return the outlines' width."""
    slim, blobs, width_px = _split(masks[0])
    slim = _without_slits(slim, width_px)
    lines = centre_lines(slim, width_px)
    height, width = slim.shape
    width_px = max(FIRMER * width_px, 6.0)
    outline = sheet.draw(lines, palette[0], width_px) + _draw_blobs(sheet, blobs, palette[0])
    with Image.open(io.BytesIO(_rendered(_svg(outline, width, height)))) as drawn:
        barrier = (np.asarray(drawn.getchannel("A")) > 127) | (sheet.shapes == 1)
    if lines:
        _colour_in(sheet, masks, barrier, width_px)
    return width_px


def _without_slits(mask: Mask, width_px: float) -> Mask:
    """Shut the thin holes that two strokes along the same line leave between them."""
    holes, count = regions(~mask)
    deepest = np.zeros(count + 1, np.int32)
    np.maximum.at(deepest, holes.ravel(), depth(~mask, round(width_px)).ravel())
    return mask | (deepest[holes] <= 0.45 * width_px)


def _draw_blobs(sheet: _Sheet, blobs: Mask, colour: str) -> str:
    """Draw the ink spots, the round ones as ellipses, and return the SVG of the ellipses."""
    numbers, count = regions(blobs)
    ovals = []
    for number in range(1, count + 1):
        spot = numbers == number
        x, y, long_px, short_px, turn = ellipse(spot)
        if spot.sum() > 0.9 * np.pi * long_px * short_px:
            place = f"translate({x:.1f} {y:.1f}) rotate({turn:.0f})"
            ovals.append(f'<ellipse rx="{long_px:.1f}" ry="{short_px:.1f}" fill="{colour}" transform="{place}"/>')
        else:
            sheet.shapes[spot] = 1
    sheet.strokes += ovals
    return "".join(ovals)


def _colour_in(sheet: _Sheet, masks: list[Mask], barrier: Mask, width_px: float) -> None:
    """Fill each region between the clean lines with the colour that covers most of it in the sketch."""
    corners = ([0, 0, -1, -1], [0, -1, 0, -1])
    shapes = np.full(barrier.shape, -1, np.int32)
    # First with the gaps in the outlines shut, then the corners that this cut off.
    for closed in (grown(barrier, SHUT_GAPS_PX), barrier):
        numbers, count = regions(~closed & (shapes < 0))
        areas = np.bincount(numbers.ravel(), minlength=count + 1)
        votes = np.stack([np.bincount(numbers[mask], minlength=count + 1) for mask in masks[1:]] or [areas * 0])
        unlined = np.maximum(areas - np.bincount(numbers[masks[0]], minlength=count + 1), 1)
        fill = np.where(votes.max(axis=0) >= COLOURED_IN_SHARE * unlined, votes.argmax(axis=0) + 2, 0)
        fill[numbers[corners]] = 0
        shapes = np.where((numbers > 0) & (areas[numbers] >= SMALLEST_SHAPE_PX), fill[numbers], shapes)
        if closed is not barrier:
            shapes = _spread_shapes(shapes, SHUT_GAPS_PX, ~barrier)
    # Each colour runs on under the lines, to where the next one begins.
    shapes = _spread_shapes(shapes, round(width_px), np.ones_like(barrier))
    sheet.shapes[shapes > 0] = shapes[shapes > 0]


def _spread_shapes(shapes: Labels, radius_px: int, ground: Mask) -> Labels:
    """Let every shape run `radius_px` further into the ground that is nobody's yet (-1)."""
    for _ in range(radius_px):
        padded = np.pad(shapes, 1, constant_values=-1)
        for beside in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
            shapes = np.where((shapes < 0) & ground, beside, shapes)
    return shapes


def _draw_leftovers(sheet: _Sheet, masks: list[Mask], palette: list[str], ink_px: float) -> None:
    """Draw coloured marks outside every outline: slips are dropped, lines are smoothed, shapes stay shapes."""
    for number, mask in enumerate(masks[1:], start=2):
        filled = sheet.shapes > 0
        parts, count = regions(mask & ~filled)
        far = np.bincount(parts[~grown(filled, 3.5 * ink_px)], minlength=count + 1) > 0
        areas = np.bincount(parts.ravel(), minlength=count + 1)
        kept = far & (areas >= SMALLEST_SHAPE_PX)
        kept[0] = False
        slim, blobs, width_px = _split(kept[parts])
        lines = centre_lines(slim, width_px)
        if lines:
            sheet.draw(lines, palette[number - 1], FIRMER * width_px)
        sheet.shapes[blobs & (sheet.shapes == 0)] = number


def _path(line: Line) -> str:
    """The line as SVG path data."""
    points = " ".join(f"{x:.1f} {y:.1f}" for x, y in line.points)
    return f"M{points}{'Z' if line.closed else ''}"


def _shapes_svg(shapes: Labels, palette: list[str]) -> str:
    """The flat shapes as curves."""
    traced = []
    for number, colour in enumerate(palette, start=1):
        if not (shapes == number).any():
            continue
        png = io.BytesIO()
        Image.fromarray(np.where(shapes == number, 0, 255).astype(np.uint8)).save(png, "PNG", compress_level=1)
        svg = vtracer.convert_raw_image_to_svg(
            png.getvalue(), "png", colormode="binary", filter_speckle=6, path_precision=1
        )
        traced += [line.replace("#000000", colour) for line in svg.splitlines() if line.startswith("<path")]
    return "".join(traced)


def _svg(body: str, width: int, height: int) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">{body}</svg>'


def _rendered(svg: str) -> bytes:
    """The SVG as a PNG, transparent where nothing is drawn."""
    return resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)
