"""Which PNG files are taken, and when two of them are the same picture."""

from __future__ import annotations

import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rubydraw.png import MAX_CHUNKS, BadPng, read_png

from tests.unit.pngs import GREY, INDEXED, RGB, RGBA, SIGNATURE, chunk, file, ihdr, pixels, png

IDAT, IEND = chunk(b"IDAT", pixels()), chunk(b"IEND")
PLTE, TRNS = chunk(b"PLTE", b"\0\0\0\xff\xff\xff"), chunk(b"tRNS", b"\0\xff")
INDEXED_PNG = file(ihdr(colour=INDEXED), PLTE, TRNS, IDAT, IEND)
ANCILLARY = st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"gAMA", b"pHYs", b"eXIf", b"acTL", b"fdAT", b"prVt"])
UNCOUNTED = st.lists(st.builds(chunk, ANCILLARY, st.binary(max_size=40)), max_size=3).map(b"".join)


def identity(data: bytes) -> bytes:
    return read_png(data).identity


@pytest.mark.parametrize("colour", [GREY, RGB, RGBA])
def test_a_plain_png_is_kept_byte_for_byte(colour: int) -> None:
    """What has only what counts comes out as it went in, with its size."""
    data = png(30, 17, colour=colour)
    read = read_png(data)
    assert (data, 30, 17) == (read.data, read.width_px, read.height_px)


def test_palette_and_transparency_are_kept() -> None:
    """An indexed picture keeps PLTE and tRNS."""
    assert read_png(INDEXED_PNG).data == INDEXED_PNG


@given(UNCOUNTED, UNCOUNTED, UNCOUNTED, st.binary(max_size=60), st.lists(st.integers(0, len(pixels())), max_size=4))
def test_the_same_picture_has_one_identity(
    before: bytes, between: bytes, behind: bytes, trailing: bytes, cuts: list[int]
) -> None:
    """Ancillary chunks, what follows IEND, and how IDAT is cut change neither identity nor, but for the cuts, data."""
    ends = [0, *sorted(cuts), len(pixels())]
    recut = b"".join(chunk(b"IDAT", pixels()[start:end]) for start, end in itertools.pairwise(ends))
    read = read_png(file(ihdr(), before, between, recut, behind, IEND) + trailing)
    assert identity(png()) == read.identity
    assert file(ihdr(), recut, IEND) == read.data


@pytest.mark.parametrize(
    "other",
    [
        file(ihdr(20, 19, colour=INDEXED), PLTE, TRNS, IDAT, IEND),
        file(ihdr(19, 20, colour=INDEXED), PLTE, TRNS, IDAT, IEND),
        file(ihdr(colour=INDEXED, tail=b"\0\0\1"), PLTE, TRNS, IDAT, IEND),
        file(ihdr(colour=INDEXED, depth=4), PLTE, TRNS, IDAT, IEND),
        file(ihdr(colour=INDEXED), chunk(b"PLTE", b"\0\0\1\xff\xff\xff"), TRNS, IDAT, IEND),
        file(ihdr(colour=INDEXED), PLTE, chunk(b"tRNS", b"\0\xfe"), IDAT, IEND),
        file(ihdr(colour=INDEXED), PLTE, chunk(b"tRNS", b"\0"), IDAT, IEND),
        file(ihdr(colour=INDEXED), PLTE, IDAT, IEND),
        file(ihdr(colour=INDEXED), PLTE, TRNS, chunk(b"IDAT", pixels(shade=254)), IEND),
    ],
)
def test_any_one_part_of_the_picture_changes_its_identity(other: bytes) -> None:
    """Size, format, palette, transparency and pixels all count."""
    assert identity(INDEXED_PNG) != identity(other)


def test_bytes_cannot_move_from_one_part_to_the_next() -> None:
    """Each part has its length before it: palette bytes are never read as transparency."""
    body = b"\1\2\3\4\5\6"
    moved = file(ihdr(colour=RGB), chunk(b"tRNS", body), IDAT, IEND)
    assert identity(file(ihdr(colour=RGB), chunk(b"PLTE", body), IDAT, IEND)) != identity(moved)


@given(st.binary(max_size=400))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    """Whatever comes is a PNG or BadPng."""
    for candidate in (data, SIGNATURE + data, SIGNATURE + ihdr() + data):
        try:
            read_png(candidate)
        except BadPng:
            continue


@given(
    st.sampled_from([png(), INDEXED_PNG, png(colour=RGBA)]),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=4),
    st.booleans(),
)
def test_no_mutation_crashes_the_reader(data: bytes, changes: list[tuple[int, int]], repaired: bool) -> None:
    """A changed PNG is taken or BadPng, with its checksums as they were or put right."""
    changed = bytearray(data)
    for at, value in changes:
        changed[at % len(changed)] = value
    candidate = _with_right_checksums(bytes(changed)) if repaired else bytes(changed)
    try:
        again = read_png(read_png(candidate).data)
    except BadPng:
        return
    assert identity(candidate) == again.identity


def _with_right_checksums(data: bytes) -> bytes:
    at, out = len(SIGNATURE), bytearray(data)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(out[at : at + 4], "big")
        if end + 4 > len(data):
            break
        out[end : end + 4] = zlib.crc32(out[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(out)


@given(st.integers(0, len(INDEXED_PNG) - 1))
def test_a_png_cut_anywhere_is_refused(length: int) -> None:
    """No beginning of a PNG is a PNG."""
    with pytest.raises(BadPng):
        read_png(INDEXED_PNG[:length])


@pytest.mark.parametrize(
    ("width_px", "height_px", "taken"),
    [
        (1, 1, True),
        (8192, 1, True),
        (8192, 4882, True),
        (8192, 4883, False),
        (8193, 1, False),
        (1, 8193, False),
        (0, 20, False),
        (20, 0, False),
        (2**31 - 1, 2**31 - 1, False),
        (2**32 - 1, 1, False),
    ],
)
def test_size_is_bounded_before_anything_is_decoded(width_px: int, height_px: int, taken: bool) -> None:
    """At most 8192 pixels a side and 40 megapixels in all, as the header claims them."""
    data = file(ihdr(width_px, height_px), IDAT, IEND)
    if taken:
        assert (width_px, height_px) == (read_png(data).width_px, read_png(data).height_px)
    else:
        with pytest.raises(BadPng, match=f"{width_px} x {height_px} pixels; allowed are"):
            read_png(data)


WRONG = {
    "empty": b"",
    "text": b"https://example.com/cat.png",
    "gif": b"GIF89a" + bytes(40),
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(40),
    "signature alone": SIGNATURE,
    "signature with one wrong byte": b"\x88" + png()[1:],
    "signature not first": b"\n" + png(),
    "pdf before a png": b"%PDF-1.7\n" + png(),
    "no header": file(IDAT, IEND),
    "header twice": file(ihdr(), ihdr(), IDAT, IEND),
    "metadata before the header": file(chunk(b"tEXt", b"a\0b"), ihdr(), IDAT, IEND),
    "apple's own form": file(chunk(b"CgBI", bytes(4)), ihdr(), IDAT, IEND),
    "short header": file(chunk(b"IHDR", bytes(12)), IDAT, IEND),
    "bad depth": file(ihdr(depth=3), IDAT, IEND),
    "bad colour": file(ihdr(colour=5), IDAT, IEND),
    "bad depth for the colour": file(ihdr(depth=4, colour=RGB), IDAT, IEND),
    "bad compression": file(ihdr(tail=b"\1\0\0"), IDAT, IEND),
    "bad filter": file(ihdr(tail=b"\0\1\0"), IDAT, IEND),
    "bad interlace": file(ihdr(tail=b"\0\0\2"), IDAT, IEND),
    "no pixels": file(ihdr(), IEND),
    "empty pixels": file(ihdr(), chunk(b"IDAT"), chunk(b"IDAT"), IEND),
    "no end": file(ihdr(), IDAT),
    "end with a body": file(ihdr(), IDAT, chunk(b"IEND", b"x")),
    "pixels in two places": file(ihdr(), IDAT, chunk(b"tEXt", b"a\0b"), IDAT, IEND),
    "no palette": file(ihdr(colour=INDEXED), IDAT, IEND),
    "palette after the pixels": file(ihdr(colour=RGB), IDAT, PLTE, IEND),
    "palette twice": file(ihdr(colour=INDEXED), PLTE, PLTE, IDAT, IEND),
    "palette of a grey picture": file(ihdr(), PLTE, IDAT, IEND),
    "palette of a broken colour": file(ihdr(colour=INDEXED), chunk(b"PLTE", bytes(4)), IDAT, IEND),
    "empty palette": file(ihdr(colour=INDEXED), chunk(b"PLTE"), IDAT, IEND),
    "palette too long": file(ihdr(colour=INDEXED), chunk(b"PLTE", bytes(771)), IDAT, IEND),
    "transparency before the palette": file(ihdr(colour=INDEXED), TRNS, PLTE, IDAT, IEND),
    "transparency after the pixels": file(ihdr(colour=INDEXED), PLTE, IDAT, TRNS, IEND),
    "more transparency than palette": file(ihdr(colour=INDEXED), PLTE, chunk(b"tRNS", bytes(3)), IDAT, IEND),
    "transparency beside an alpha channel": file(ihdr(colour=RGBA), chunk(b"tRNS", bytes(6)), IDAT, IEND),
    "unknown critical chunk": file(ihdr(), chunk(b"EvIL", b"x"), IDAT, IEND),
    "chunk without a name": file(ihdr(), chunk(b"a\0\n<", b"x"), IDAT, IEND),
    "length beyond the end": SIGNATURE + b"\x7f\xff\xff\xffIHDR" + bytes(20),
    "length with its highest bit": SIGNATURE + b"\xff\xff\xff\xffIHDR" + bytes(20),
    "wrong checksum": png()[:-1] + b"\0",
    "wrong checksum of metadata": file(ihdr(), chunk(b"tEXt", b"a\0b")[:-1] + b"\0", IDAT, IEND),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_right_png_is_refused_in_printable_words(data: bytes) -> None:
    """The text says what was found, in one line of ASCII that repeats nothing nameless."""
    with pytest.raises(BadPng) as refused:
        read_png(data)
    text = str(refused.value)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 120


@pytest.mark.parametrize("payload", [b"%PDF-1.7\n1 0 obj", b"PK\x03\x04" + bytes(26), b"<script>alert(1)</script>"])
def test_what_a_polyglot_hides_is_cut(payload: bytes) -> None:
    """What is appended, or hidden in text chunks, is neither kept nor counted."""
    text = chunk(b"tEXt", b"Comment\0ignore all rules " + payload)
    read = read_png(file(ihdr(), text, IDAT, text, IEND, payload, IEND))
    assert png() == read.data
    assert identity(png()) == read.identity


def test_pixels_are_not_decoded() -> None:
    """A decompression bomb passes through unopened: what counts is the size that the header claims."""
    bomb = zlib.compress(bytes(10_000_000))
    assert (read_png(file(ihdr(), chunk(b"IDAT", bomb), IEND)).width_px, 20) == (20, 20)


def test_the_number_of_chunks_is_bounded() -> None:
    """Reading each takes its time, however empty it is."""
    for empty, taken in ((MAX_CHUNKS - 3, True), (MAX_CHUNKS - 2, False)):
        data = file(ihdr(), IDAT, *[chunk(b"IDAT")] * empty, chunk(b"IEND"))
        if taken:
            assert read_png(data).identity == read_png(png()).identity
        else:
            with pytest.raises(BadPng, match="it has more than 10000 chunks"):
                read_png(data)
