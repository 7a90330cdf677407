"""What becomes of the picture that Gemini sends, whatever its label says."""

from __future__ import annotations

import asyncio
import io
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from rubydraw.errors import BadAnswer
from rubydraw.gemini.picture import MAX_PICTURE_BYTES, MAX_SCANS, to_png

from tests.unit.pngs import SIGNATURE, chunk, file, ihdr, pixels, png

RED = (200, 30, 30)


def picture(format_: str, mode: str = "RGB", size: tuple[int, int] = (48, 32), **options: object) -> bytes:
    """A red disc, encoded by Pillow."""
    image = Image.new(mode, size)
    ImageDraw.Draw(image).ellipse((8, 4, size[0] - 8, size[1] - 4), fill=_red(mode))
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def _red(mode: str) -> int | tuple[int, ...]:
    reds: dict[str, int | tuple[int, ...]] = {"RGB": RED, "RGBA": (*RED, 255), "L": 90, "CMYK": (0, 220, 220, 50)}
    return reds[mode]


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=("PNG",))
    image.load()
    return image


JPEG, WEBP = picture("JPEG"), picture("WEBP")


@pytest.mark.parametrize(
    ("data", "mode"),
    [
        (JPEG, "RGB"),
        (picture("JPEG", "L"), "RGB"),
        (picture("JPEG", "CMYK"), "RGB"),
        (picture("JPEG", progressive=True), "RGB"),
        (WEBP, "RGB"),
        (picture("WEBP", lossless=True), "RGB"),
        (picture("WEBP", "RGBA", lossless=True), "RGBA"),
    ],
)
async def test_jpeg_and_webp_become_png(data: bytes, mode: str) -> None:
    """Size, colours and transparency survive."""
    image = opened(await to_png(data))
    assert ("PNG", (48, 32), mode) == (image.format, image.size, image.mode)


async def test_others_are_served_while_a_picture_is_converted() -> None:
    """The loop turns on: what decodes and encodes is a thread."""
    converting, turns = asyncio.create_task(to_png(picture("JPEG", size=(2048, 2048)))), 0
    while not converting.done():
        await asyncio.sleep(0)
        turns += 1
    assert (2048, 2048) == opened(await converting).size
    assert turns > 10


async def test_colours_survive_the_conversion() -> None:
    """The disc is still red, and what was transparent still is."""
    image = opened(await to_png(picture("WEBP", "RGBA", lossless=True)))
    assert ((*RED, 255), 0) == (image.getpixel((24, 16)), image.getpixel((0, 0))[3])  # type: ignore[index]


async def test_a_png_stays_as_it_is_but_for_its_metadata() -> None:
    """No pixel is decoded; ancillary chunks and what follows IEND are cut."""
    noted = file(ihdr(), chunk(b"tEXt", b"k\0v"), chunk(b"IDAT", pixels()), chunk(b"IEND")) + b"trailing"
    assert png() == await to_png(png())
    assert png() == await to_png(noted)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html><title>502</title></html>",
        b'{"error": {}}',
        SIGNATURE,
        png()[:-20],
        png()[:-4] + b"\0\0\0\0",
        png(1, 1),
        png(15, 400),
        picture("JPEG", size=(40, 15)),
        file(ihdr(9000, 20), chunk(b"IDAT", pixels()), chunk(b"IEND")),
        b"\xff\xd8\xff",
        b"RIFF\x20\0\0\0WEBPVP8 ",
        *(encoded[: len(encoded) * part // 4] for encoded in (JPEG, WEBP) for part in (1, 2, 3)),
        picture("GIF"),
        picture("BMP"),
        picture("TIFF"),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n",
        b"SIMPLE  =                    T" + bytes(2880),
        b"8BPS\0\1" + bytes(40),
        b'<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"/>',
    ],
)
async def test_what_is_no_whole_picture_of_the_three_kinds_is_a_bad_answer(data: bytes) -> None:
    """HTML, cut files, tiny pictures and every other format that Pillow knows are refused."""
    with pytest.raises(BadAnswer):
        await to_png(data)


async def test_too_many_bytes_are_a_bad_answer() -> None:
    """Above 16 MiB nothing is looked at."""
    with pytest.raises(BadAnswer):
        await to_png(JPEG + bytes(MAX_PICTURE_BYTES))


async def test_a_picture_that_becomes_too_many_bytes_is_a_bad_answer() -> None:
    """Noise is small as a JPEG and not as a PNG, which nobody could be sent."""
    side_px = 2_400
    noise, jpeg = Image.frombytes("RGB", (side_px, side_px), random.Random(5).randbytes(3 * side_px**2)), io.BytesIO()
    noise.save(jpeg, "JPEG")
    assert len(jpeg.getvalue()) < MAX_PICTURE_BYTES / 2
    with pytest.raises(BadAnswer):
        await to_png(jpeg.getvalue())


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(8193, 20), (20, 8193), (8000, 8000), (12_000, 12_000), (65_000, 65_000)])
async def test_a_jpeg_that_claims_to_be_huge_is_not_decoded(size: tuple[int, int]) -> None:
    """Its header is enough to refuse it."""
    at = JPEG.index(b"\xff\xc0") + 5
    bomb = JPEG[:at] + struct.pack(">HH", size[1], size[0]) + JPEG[at + 4 :]
    with pytest.raises(BadAnswer):
        await to_png(bomb)


async def test_a_jpeg_of_very_many_scans_is_not_decoded() -> None:
    """Each costs a pass over all pixels, and a few bytes."""
    jpeg = picture("JPEG", "L", progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    missing = MAX_SCANS - jpeg.count(b"\xff\xda")
    most = jpeg[:last] + jpeg[last:-2] * missing + jpeg[last:]
    assert (48, 32) == opened(await to_png(most)).size
    with pytest.raises(BadAnswer):
        await to_png(most[:-2] + jpeg[last:])


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=200)
@given(
    st.sampled_from([JPEG, WEBP, picture("WEBP", "RGBA", lossless=True), picture("JPEG", "CMYK", progressive=True)]),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 100),
)
async def test_no_damage_gives_anything_but_a_png_or_a_bad_answer(
    data: bytes, changes: list[tuple[int, int]], kept_percent: int
) -> None:
    """A decoder that stumbles is a bad answer, never a crash."""
    damaged = bytearray(data)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    for candidate in (bytes(damaged), bytes(damaged[: len(damaged) * kept_percent // 100])):
        try:
            converted = await to_png(candidate)
        except BadAnswer:
            continue
        assert converted.startswith(SIGNATURE)
