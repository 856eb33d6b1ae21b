"""How given pictures are read: each mode against arrays computed by hand, alpha, colour keys, orientation, refusals."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from latentpress.runtime.pictures.reading import NotAPicture, colour, decode_picture, read_header

RNG = np.random.default_rng(7)
GREY16 = RNG.integers(0, 65536, (6, 5), np.uint16)
COLOURS = RNG.integers(0, 256, (6, 5, 3), np.uint8)
ALPHA = np.array([[0, 255, 128, 127, 40]] * 6, np.uint8)


def saved(picture, kind="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def png(bits, colour_type, rows, *chunks, width=None):
    """A PNG of `rows` of bytes, written by hand: (name, content) chunks stand between header and pixels."""
    width = width or len(rows[0]) * 8 // (bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type])

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff(values, bits, sample_format, photometric=1):
    """An uncompressed little-endian TIFF of one channel, written by hand."""
    data = np.ascontiguousarray(values).tobytes()
    height, width = values.shape
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, height)]
    tags += [(279, len(data)), (339, sample_format)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


def grey(unit):
    """RGB of greys 0..1, to the nearest of 256 levels."""
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)[..., None].repeat(3, -1)


INTS = RNG.integers(0, 2**32, (6, 5), np.uint32)
FLOATS = RNG.random((6, 5), np.float32)
DEEP = {
    "16-bit grey PNG": (saved(Image.fromarray(GREY16)), GREY16 / 65535),
    "16-bit TIFF": (saved(Image.fromarray(GREY16), "TIFF"), GREY16 / 65535),
    "16-bit TIFF, big-endian": (saved(Image.fromarray(GREY16.astype(">u2")), "TIFF"), GREY16 / 65535),
    "16-bit TIFF, white is zero": (tiff(GREY16, 16, 1, photometric=0), 1 - GREY16 / 65535),
    "16-bit TIFF, signed": (tiff(GREY16.view(np.int16), 16, 2), GREY16.view(np.int16) / 32767),
    "16-bit PGM": (b"P5 5 6 65535\n" + GREY16.astype(">u2").tobytes(), GREY16 / 65535),
    "32-bit TIFF": (tiff(INTS, 32, 1), INTS / (2**32 - 1)),
    "32-bit TIFF, signed": (tiff(INTS.view(np.int32), 32, 2), INTS.view(np.int32) / (2**31 - 1)),
    "float TIFF, 0..1": (saved(Image.fromarray(FLOATS), "TIFF"), FLOATS),
    "float TIFF, 0..255": (saved(Image.fromarray(FLOATS * 255), "TIFF"), FLOATS),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_greys_are_scaled_and_not_clipped(name):
    content, unit = DEEP[name]
    found = np.asarray(decode_picture(content).colours)
    assert np.abs(found.astype(int) - grey(unit)).max() == 0
    assert not read_header(content).plain
    clipped = np.asarray(decode_picture(content).clipped)
    assert name.endswith("0..255") or np.abs(clipped.astype(int) - grey(unit)).max() > 100, "nothing to tell apart"


def test_deep_colours_keep_their_upper_bytes():
    deep = RNG.integers(0, 65536, (6, 5, 4), np.uint16)
    found = decode_picture(png(16, 6, [row.astype(">u2").tobytes() for row in deep]))
    assert np.array_equal(np.asarray(found.colours), deep[..., :3] >> 8)
    assert np.array_equal(np.asarray(found.alpha), deep[..., 3] >> 8)


PLAIN = {
    "RGB": (saved(Image.fromarray(COLOURS)), COLOURS),
    "L": (saved(Image.fromarray(COLOURS[..., 0])), COLOURS[..., :1].repeat(3, -1)),
    "1": (saved(Image.fromarray(GREY16 > 30000)), (GREY16 > 30000)[..., None].repeat(3, -1) * 255),
    "2-bit grey": (
        png(2, 0, [b"\x1b", b"\xe4"]),
        np.array([[0, 85, 170, 255], [255, 170, 85, 0]])[..., None].repeat(3, -1),
    ),
    "P": (saved(Image.fromarray(COLOURS).quantize(256)), COLOURS),
    "CMYK": (saved(Image.fromarray(COLOURS).convert("CMYK"), "TIFF"), COLOURS),
    "WebP": (saved(Image.fromarray(COLOURS), "WEBP", lossless=True), COLOURS),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_pillow_converts_as_it_looks_stays_so(name):
    content, expected = PLAIN[name]
    found = decode_picture(content)
    assert np.array_equal(np.asarray(found.colours), expected)
    assert found.alpha is None
    assert found.clipped is found.colours
    assert read_header(content).plain


def test_ycbcr_is_what_jpeg_means_and_lab_what_its_formula_says():
    content = saved(Image.fromarray(COLOURS), "JPEG", quality=100, subsampling=0)
    assert np.abs(np.asarray(decode_picture(content).colours).astype(int) - COLOURS).max() < 12
    # CIE Lab of D50: L* = 100, 50 and 0 of grey are sRGB's 255, 119 and 0; (54, 81, 70) is about its red.
    lab = np.array([[[255, 0, 0], [128, 0, 0], [0, 0, 0], [138, 81, 70]]], np.uint8)  # a and b are signed
    picture = Image.frombytes("LAB", (4, 1), lab.tobytes())
    found = decode_picture(saved(picture, "TIFF"))
    expected = [[[255, 255, 255], [119, 119, 119], [0, 0, 0], [255, 0, 0]]]
    assert np.abs(np.asarray(found.colours).astype(int) - expected).max() <= 6


def over(colours, alpha, background):
    """Alpha compositing, Porter and Duff's `over`, on an opaque colour."""
    share = alpha[..., None] / 255
    return colours * share + np.array(background) * (1 - share)


def with_alpha():
    return np.dstack([COLOURS, ALPHA])


def test_rgba_la_and_premultiplied_alpha_are_laid_on_the_background():
    greys = np.dstack([COLOURS[..., 0], ALPHA])
    # An associated alpha: colours were multiplied by it when the file was written.
    content = saved(Image.fromarray(greys, "LA"), "TIFF").replace(
        struct.pack("<HHII", 338, 3, 1, 2), struct.pack("<HHII", 338, 3, 1, 1)
    )
    stored = np.asarray(Image.open(io.BytesIO(content)))
    premultiplied = Image.open(io.BytesIO(content)).mode == "La"
    assert premultiplied
    for background in ("#ffffff", "#ff8000"):
        rgb = tuple(bytes.fromhex(background[1:]))
        shown = np.asarray(decode_picture(saved(Image.fromarray(with_alpha()))).on(background))
        assert np.abs(shown - over(COLOURS, ALPHA, rgb)).max() <= 1
        shown = np.asarray(decode_picture(saved(Image.fromarray(greys, "LA"))).on(background))
        assert np.abs(shown - over(greys[..., :1].repeat(3, -1), ALPHA, rgb)).max() <= 1
        shown = np.asarray(decode_picture(content).on(background)).astype(float)
        expected = np.minimum(stored[..., :1].astype(float), ALPHA[..., None]).repeat(3, -1)
        expected = expected + np.array(rgb) * (1 - ALPHA[..., None] / 255)
        assert np.abs(shown - expected).max() <= 2


def test_transparent_palettes_and_colour_keys():
    palette = png(8, 3, [b"\0\1", b"\2\1"], (b"PLTE", bytes([9, 8, 7, 60, 50, 40, 1, 2, 3])), (b"tRNS", b"\0\x80"))
    found = decode_picture(palette)
    assert np.asarray(found.alpha).tolist() == [[0, 128], [255, 128]]
    assert np.asarray(found.colours).tolist() == [[[9, 8, 7], [60, 50, 40]], [[1, 2, 3], [60, 50, 40]]]
    keyed = {
        "RGB": png(8, 2, [bytes([1, 2, 3, 1, 2, 4])], (b"tRNS", struct.pack(">HHH", 1, 2, 3))),
        "8-bit grey": png(8, 0, [b"\x05\x06"], (b"tRNS", struct.pack(">H", 5))),
        "16-bit grey": png(16, 0, [struct.pack(">HH", 258, 259)], (b"tRNS", struct.pack(">H", 258))),
        "16-bit RGB": png(
            16, 2, [struct.pack(">6H", *[0x0102] * 3, *[0x0304] * 3)], (b"tRNS", struct.pack(">HHH", *[0x0102] * 3))
        ),
        "GIF": saved(Image.frombytes("P", (2, 1), b"\0\1"), "GIF", transparency=0),
    }
    for name, content in keyed.items():
        assert np.asarray(decode_picture(content).alpha).tolist() == [[0, 255]], name
        assert not read_header(content).plain, name
    few = png(2, 0, [b"\x1b"], (b"tRNS", struct.pack(">H", 2)))
    assert np.asarray(decode_picture(few).alpha).tolist() == [[255, 255, 0, 255]]
    one = png(1, 0, [b"\xa0"], (b"tRNS", struct.pack(">H", 1)))
    assert np.asarray(decode_picture(one).alpha)[0, :3].tolist() == [0, 255, 0]


def test_an_opaque_alpha_is_none():
    opaque = np.dstack([COLOURS, np.full_like(ALPHA, 255)])
    found = decode_picture(saved(Image.fromarray(opaque)))
    assert found.alpha is None
    assert np.array_equal(np.asarray(found.colours), COLOURS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright_with_their_alpha(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.fromarray(with_alpha()), exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    found = decode_picture(content)
    assert np.array_equal(np.dstack([np.asarray(found.colours), np.asarray(found.alpha)]), expected)
    assert read_header(content).size == expected.shape[:2]
    assert np.array_equal(np.asarray(found.clipped), expected[..., :3])
    deep = saved(Image.fromarray(GREY16), exif=exif)
    assert decode_picture(deep).colours.size == expected.shape[1::-1]


def mask_of(colours, alpha):
    return np.asarray(decode_picture(saved(Image.fromarray(np.dstack([colours, alpha])))).mask()) >= 128


def test_the_alpha_of_a_mask_is_the_mask_and_where_it_is_black_and_white_the_white_of_it():
    visible = ALPHA >= 128
    for value in (0, 90, 255):  # strokes of one colour, on nothing
        assert np.array_equal(mask_of(np.full_like(COLOURS, value), ALPHA), visible)
    red_and_blue = np.zeros_like(COLOURS)
    red_and_blue[:3, :, 0] = red_and_blue[3:, :, 2] = 255
    assert np.array_equal(mask_of(red_and_blue, ALPHA), visible)
    black_and_white = np.zeros_like(COLOURS)
    black_and_white[:3] = 255
    expected = visible & (np.arange(6) < 3)[:, None]
    assert np.array_equal(mask_of(black_and_white, ALPHA), expected)
    assert expected.any()
    hidden = np.where(visible[..., None], 255, 0).astype(
        np.uint8
    )  # what editors leave under nothing is no black stroke
    assert np.array_equal(mask_of(hidden, ALPHA), visible)


def test_what_is_unusual_is_said():
    frames = [Image.new("RGB", (8, 8), name) for name in ("red", "blue")]
    gif = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_header(gif).notes == ("holds 2 frames, of which the first is used",)
    assert np.asarray(decode_picture(gif).colours)[0, 0].tolist() == [255, 0, 0]
    assert "16-bit grey" in read_header(saved(Image.fromarray(GREY16))).notes[0]
    low = decode_picture(saved(Image.fromarray(GREY16 >> 9)))
    assert low.notes[0].endswith("of which white is 65535")
    assert not read_header(saved(Image.fromarray(COLOURS))).notes


REFUSED = {
    "text": (b"a picture\n" * 40, "of no format that is known"),
    "nothing": (b"", "of no format that is known"),
    "a PNG cut short": (saved(Image.fromarray(COLOURS.repeat(40, 0)))[:-60], ""),
    "a JPEG cut short": (saved(Image.fromarray(COLOURS.repeat(40, 0)), "JPEG")[:-200], "image file is truncated"),
    "a bomb": (png(8, 0, [b"\0"] * 20_000, width=20_000), "more than 179 million pixels"),
    "NaN": (saved(Image.fromarray(FLOATS * np.float32("nan")), "TIFF"), "it holds NaN or infinite values"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_said_without_an_address(name):
    content, why = REFUSED[name]
    with pytest.raises(NotAPicture) as caught:
        decode_picture(content)
    assert why in str(caught.value)
    assert " at 0x" not in str(caught.value)
    assert "BytesIO" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("white", "#ffffff"),
        ("#f80", "#ff8800"),
        ("#FF8000", "#ff8000"),
        ("rgb(1, 2, 3)", "#010203"),
        ("hsl(0, 100%, 50%)", "#ff0000"),
    ]
    + [(text, None) for text in ("", "wite", "#12345", "#ff000080", "ffffff")],
)
def test_colours_are_pillows_and_opaque(text, expected):
    assert colour(text) == expected
