"""The offline clean-up, measured on the examples and on pictures that are no sketches."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from emulator.redraw import Redrawn, redraw

Floats = NDArray[np.float64]
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.png"))


def as_png(picture: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", **options)
    return out.getvalue()


def opened(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png))
    picture.load()
    return picture


def on_white(png: bytes, size: tuple[int, int]) -> Floats:
    """The picture over white, at the size asked for."""
    picture = opened(png).convert("RGBA").resize(size, Image.Resampling.BICUBIC)
    flat = Image.alpha_composite(Image.new("RGBA", size, "white"), picture)
    return np.asarray(flat.convert("RGB"), dtype=float)


def blurred(field: Floats, sigma_px: float) -> Floats:
    """A Gaussian blur, in full precision."""
    reach = round(3 * sigma_px)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    for axis in (0, 1):
        padded = np.pad(field, [(reach, reach) if axis == n else (0, 0) for n in (0, 1)], mode="edge")
        count = field.shape[axis]
        shifted = [padded.take(range(shift, shift + count), axis=axis) for shift in range(len(bell))]
        field = np.tensordot(bell / bell.sum(), np.stack(shifted), axes=1)
    return field


def mean_curvature(shade: Floats) -> float:
    """The mean absolute curvature of the outlines in a shade from 0 to 1, in radians a pixel of outline.

    It is the curvature of the level lines about one half, weighted by the slope: by the coarea formula each
    outline counts by its length. Nothing is traced, so no fault can be shared with the code under test.
    """
    smooth = blurred(shade, 2.0)
    fy, fx = np.gradient(smooth)
    slope = np.hypot(fx, fy)
    sloping = np.maximum(slope, 1e-9)
    curvature = np.abs(np.gradient(fx / sloping, axis=1) + np.gradient(fy / sloping, axis=0))
    outline = (np.abs(smooth - 0.5) < 0.2) & (slope > 0.02)
    return float((curvature * slope)[outline].sum() / slope[outline].sum())


def ink(rgb: Floats) -> Floats:
    """How much of the dark outlines each pixel shows."""
    shade: Floats = np.clip((140 - rgb.max(axis=2)) / 100, 0, 1)
    return shade


def drawn(rgb: Floats) -> Floats:
    """How much of anything drawn each pixel shows."""
    shade: Floats = np.clip((240 - rgb.min(axis=2)) / 80, 0, 1)
    return shade


@pytest.fixture(scope="module")
def redrawn() -> dict[str, Redrawn]:
    return {path.stem: redraw(path.read_bytes()) for path in EXAMPLES}


def test_there_are_three_examples() -> None:
    """Each is a PNG of less than 100 kB."""
    assert ["cat", "house", "sailboat"] == [path.stem for path in EXAMPLES]
    assert [] == [path.name for path in EXAMPLES if path.stat().st_size >= 100_000]


@pytest.mark.parametrize("what", [ink, drawn])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_outlines_bend_at_most_half_as_much(path: Path, what: Any, redrawn: dict[str, Redrawn]) -> None:
    """Measured at the same scale before and after, on the ink and on the silhouette."""
    result = redrawn[path.stem].png
    size = opened(result).size
    before, after = (mean_curvature(what(on_white(png, size))) for png in (path.read_bytes(), result))
    print(f"{path.stem} {what.__name__}: {before:.4f} -> {after:.4f} rad/px, {after / before:.2f}")
    assert after <= before / 2


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_drawing_has_at_most_five_colours(path: Path, redrawn: dict[str, Redrawn]) -> None:
    """Counted where a pixel and its eight neighbours agree, which leaves the blends of edges out."""
    result = redrawn[path.stem]
    pixels = np.asarray(opened(result.png)).astype(np.int64) @ [2**24, 2**16, 2**8, 1]
    height, width = pixels.shape
    inside = pixels[1:-1, 1:-1].copy()
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            inside[pixels[dy : dy + height - 2, dx : dx + width - 2] != inside] = 0
    colours = {f"#{pixel >> 8:06x}" for pixel in np.unique(inside).tolist() if pixel & 255 == 255}
    assert set(result.palette) == colours
    assert 3 <= len(colours) <= 5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_drawing_is_transparent_around(path: Path, redrawn: dict[str, Redrawn]) -> None:
    """All four corners are empty, and something is drawn."""
    alpha = np.asarray(opened(redrawn[path.stem].png))[..., 3]
    assert [0, 0, 0, 0] == [alpha[y, x] for y in (0, -1) for x in (0, -1)]
    assert 0.02 < (alpha == 255).mean() < 0.8


def test_the_words_do_not_claim_to_be_geminis(redrawn: dict[str, Redrawn]) -> None:
    """The notes name the stand-in."""
    assert all("stand-in, not by Gemini" in result.notes for result in redrawn.values())


def test_the_same_sketch_gives_the_same_bytes(redrawn: dict[str, Redrawn]) -> None:
    """Nothing in it is random."""
    assert redrawn["cat"] == redraw(EXAMPLES[0].read_bytes())


def test_a_shaky_circle_becomes_an_even_ellipse() -> None:
    """All round, its line lies within three pixels of one distance from the middle."""
    turn = np.linspace(0, 2 * np.pi, 200)
    radius = 150 + 2 * np.sin(17 * turn) + 1.5 * np.cos(29 * turn)
    sketch = Image.new("RGB", (400, 400), "white")
    outline = np.stack([200 + radius * np.cos(turn), 200 + radius * np.sin(turn)], axis=1)
    ImageDraw.Draw(sketch).line([(x, y) for x, y in outline.tolist()], fill="black", width=5)
    alpha = np.asarray(opened(redraw(as_png(sketch)).png))[..., 3]
    y, x = np.nonzero(alpha > 127)
    sector = np.round(np.arctan2(y - 511.5, x - 511.5) * 20 / np.pi).astype(int) + 20
    distances = np.bincount(sector, np.hypot(y - 511.5, x - 511.5)) / np.bincount(sector)
    assert np.ptp(distances) <= 6


def noise(height: int, width: int, channels: int = 0) -> Image.Image:
    shape = (height, width, channels) if channels else (height, width)
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, shape).astype(np.uint8))


@pytest.mark.parametrize(
    ("png", "size"),
    [
        (as_png(Image.new("RGB", (1, 1), "red")), (1024, 1024)),
        (as_png(Image.new("1", (2, 1))), (1024, 512)),
        (as_png(Image.new("LA", (40, 40), (0, 128))), (1024, 1024)),
        (as_png(Image.new("RGBA", (90, 60))), (1024, 683)),
        (as_png(Image.new("P", (90, 60), 3), transparency=3), (1024, 683)),
        (as_png(Image.fromarray(np.tile(np.linspace(0, 65535, 300), (200, 1)).astype(np.uint16))), (1024, 683)),
        (as_png(Image.new("L", (8192, 1), 255)), (1024, 16)),
        (as_png(Image.new("RGB", (1, 8192), "red")), (16, 1024)),
        (as_png(noise(3, 8192, 3)), (1024, 16)),
        (as_png(Image.fromarray((np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8))), (1024, 1024)),
        (as_png(noise(200, 200)), (1024, 1024)),
        (as_png(noise(300, 300, 4)), (1024, 1024)),
    ],
    ids=[
        "dot",
        "bits",
        "grey-alpha",
        "clear",
        "palette",
        "16-bit",
        "wide",
        "tall",
        "thin",
        "checks",
        "noise",
        "rgba-noise",
    ],
)
def test_any_png_gives_a_png(png: bytes, size: tuple[int, int]) -> None:
    """Every kind of pixel, the longest sides and pictures that are no sketch: 1024 px on the long side, 16 at least."""
    result = redraw(png)
    assert size == opened(result.png).size
    assert len(result.palette) <= 5


@pytest.mark.parametrize("broken", [b"", b"GIF89a", as_png(noise(64, 64))[:900]], ids=["empty", "gif", "cut"])
def test_what_is_no_png_is_an_os_error(broken: bytes) -> None:
    """One exception for whatever cannot be decoded."""
    with pytest.raises(OSError, match=r"image"):
        redraw(broken)
