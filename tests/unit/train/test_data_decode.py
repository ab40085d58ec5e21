"""Image files of every kind become the pixels they show, or a reason why not."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from zhurnal.train.data.decode import BadImage, decode, strict_pillow


def content(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(mode="RGB", size=(6, 4)):
    values = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(size[1], size[0], 3)
    return Image.fromarray(values).convert(mode)


def huge_png(width, height):
    """A PNG whose header says it is huge."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_color(kind):
    image = gradient()
    found = decode(content(image, kind), None, None)
    assert np.array_equal(found.pixels_CHW, np.asarray(image).transpose(2, 0, 1))
    assert (found.size, found.gray) == ((6, 4), False)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_color(kind):
    image = Image.new("RGB", (16, 16), (200, 30, 90))
    found = decode(content(image, kind, quality=95), None, None)
    assert np.abs(found.pixels_CHW.reshape(3, -1).mean(1) - (200, 30, 90)).max() < 4


@pytest.mark.parametrize("mode", ["L", "1"])
def test_gray(mode):
    image = gradient(mode)
    found = decode(content(image), None, None)
    assert found.gray
    assert np.array_equal(found.pixels_CHW[0], np.asarray(image.convert("L")))


def test_sixteen_bit_gray_is_scaled():
    values = np.array([[0, 128, 129, 32768, 65535]], np.uint16)
    found = decode(content(Image.fromarray(values)), None, None)
    assert found.gray
    assert found.pixels_CHW.tolist() == [[[0, 0, 1, 128, 255]]]


def test_channels_are_forced():
    assert decode(content(gradient("L")), None, 3).pixels_CHW.shape == (3, 4, 6)
    assert decode(content(gradient("RGB")), None, 1).pixels_CHW.shape == (1, 4, 6)


def test_transparency_lies_on_black():
    image = Image.new("RGBA", (2, 1), (200, 100, 50, 255))
    image.putpixel((1, 0), (200, 100, 50, 0))
    found = decode(content(image), None, None)
    assert found.pixels_CHW[:, 0].T.tolist() == [[200, 100, 50], [0, 0, 0]]


def test_palette_and_cmyk_become_rgb():
    palette = gradient().quantize(8)
    assert np.array_equal(decode(content(palette, "GIF"), None, None).pixels_CHW, np.asarray(palette.convert("RGB")).transpose(2, 0, 1))
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert decode(content(cmyk, "TIFF"), None, None).pixels_CHW[:, 0, 0].tolist() == [255, 0, 0]


def test_the_first_frame_of_many():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "lime")]
    found = decode(content(frames[0], "GIF", save_all=True, append_images=frames[1:]), None, None)
    assert found.pixels_CHW[:, 0, 0].tolist() == [255, 0, 0]


def test_exif_turns_the_image_upright():
    image = Image.new("RGB", (16, 8), "black")
    image.paste("white", (0, 0, 8, 8))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right by 90 degrees
    found = decode(content(image, "JPEG", exif=exif, quality=95), None, None)
    assert found.pixels_CHW.shape == (3, 16, 8)
    assert found.size == (8, 16)
    assert found.pixels_CHW[0, 0, 4] > 200  # now the upper half is
    assert found.pixels_CHW[0, 15, 4] < 50


def test_resize_takes_the_middle():
    image = Image.new("RGB", (40, 20), "red")
    image.paste("lime", (10, 0, 30, 20))
    found = decode(content(image), 10, None)
    assert found.pixels_CHW.shape == (3, 10, 10)
    assert found.size == (40, 20)
    assert np.array_equal(found.pixels_CHW.transpose(1, 2, 0), np.asarray(image.resize((20, 10), Image.Resampling.BILINEAR).crop((5, 0, 15, 10))))
    assert (found.pixels_CHW[:, :, 1:-1] == np.array([0, 255, 0])[:, None, None]).all()


def test_a_large_jpeg_is_shrunk_well():
    values = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    image = Image.fromarray(values).resize((960, 640), Image.Resampling.BICUBIC)
    found = decode(content(image, "JPEG", quality=95), 32, None)
    expected = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR, box=(160, 0, 800, 640))).transpose(2, 0, 1)
    assert found.size == (960, 640)
    assert np.abs(found.pixels_CHW.astype(int) - expected).mean() < 3


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is no JPEG, PNG"),
        (b"hello", "is no JPEG, PNG"),
        (content(gradient())[:-30], "cannot be decoded"),
        (content(gradient(size=(200, 200)), "JPEG")[:1500], "cannot be decoded"),
        (content(gradient(), "ICO"), "is no JPEG, PNG"),
        (huge_png(9000, 8000), "9000 x 8000 pixels are more than 64 million"),
        (huge_png(10000, 9500), "exceeds limit"),
        (huge_png(60000, 60000), "exceeds limit"),
    ],
)
def test_what_is_no_usable_image_says_why(data, reason):
    with strict_pillow(), pytest.raises(BadImage, match=reason):
        decode(data, None, None)


def test_float_pixels_have_no_known_range():
    with pytest.raises(BadImage, match="floating-point"):
        decode(content(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), None, None)


def test_any_damage_is_a_bad_image_and_nothing_else():
    generator = np.random.default_rng(0)
    outcomes = set()
    with strict_pillow():
        for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM"):
            whole = content(gradient(size=(24, 24)), kind)
            for _ in range(150):
                damaged = bytearray(whole)
                for _ in range(int(generator.integers(1, 6))):
                    damaged[generator.integers(0, min(len(damaged), 200))] = generator.integers(0, 256)
                try:
                    decode(bytes(damaged), 8, None)
                    outcomes.add("good")
                except BadImage:
                    outcomes.add("bad")
    assert outcomes == {"good", "bad"}


def test_warnings_are_as_before_afterwards():
    before = list(warnings.filters)
    with strict_pillow():
        pass
    assert warnings.filters == before
