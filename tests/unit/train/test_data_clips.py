"""Clips of one's own: which videos there are, which frames are taken, what is wrong with a file, cache and streaming."""

import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from helpers_video import frame, number_of, video_bytes, write_frames, write_gif, write_video
from zhurnal.core.errors import DataError
from zhurnal.core.settings import Clips
from zhurnal.train.data import clips as clips_module
from zhurnal.train.data import prepare, video
from zhurnal.train.data.clips import frames_of_clips
from zhurnal.train.data.decode import BadImage


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def load(tmp_path, **settings):
    data = Clips(**{"path": "videos", "clip_length": 4, "clip_stride": 2, "validation": 0.25} | settings)
    return prepare(data, root=tmp_path / "data", base=tmp_path, cache=tmp_path / "cache")


def everything(prepared):
    """All clips by number: {number: (pixels_TCHW, label, part)}."""
    found = {}
    for part in ("train", "val", "test"):
        split = getattr(prepared, part)
        if split is not None:
            clips_NTCHW, labels_N, numbers_N = split.take(torch.arange(len(split)))
            found |= {int(n): (c, int(k), part) for c, k, n in zip(clips_NTCHW, labels_N, numbers_N, strict=True)}
    return found


def numbers(clip_TCHW):
    return [number_of(pixels_CHW.numpy()) for pixels_CHW in clip_TCHW]


def gifs(folder, lengths=(9, 12, 20, 7), **kinds):
    for name in ("left", "right"):
        for i, length in enumerate(lengths):
            write_gif(folder / name / f"{i}.gif", length, **kinds)


@pytest.mark.parametrize(
    ("num_frames", "length", "stride", "num_clips", "expected"),
    [
        (20, 4, 2, 1, [6, 8, 10, 12]),
        (7, 4, 2, 1, [0, 2, 4, 6]),
        (5, 4, 2, 1, [0, 2, 4, 4]),
        (1, 3, 5, 2, [0, 0, 0, 0, 0, 0]),
        (20, 3, 2, 2, [0, 2, 4, 15, 17, 19]),
        (11, 2, 1, 3, [0, 1, 5, 6, 9, 10]),
    ],
)
def test_frames_of_clips(num_frames, length, stride, num_clips, expected):
    assert frames_of_clips(num_frames, length, stride, num_clips) == expected


def test_gifs_and_folders_of_frames(tmp_path):
    gifs(tmp_path / "videos")
    write_frames(tmp_path / "videos" / "left" / "walk", 12)  # frame10.png comes after frame9.png
    (tmp_path / "videos" / "left" / "cover.png").write_bytes((tmp_path / "videos" / "left" / "walk" / "frame0.png").read_bytes())
    prepared = load(tmp_path)
    assert prepared.image == (4, 3, 16, 24)
    assert prepared.classes == ("left", "right")
    found = everything(prepared)
    assert [numbers(found[n][0]) for n in sorted(found)][:5] == [[1, 3, 5, 7], [2, 4, 6, 8], [6, 8, 10, 12], [0, 2, 4, 6], [2, 4, 6, 8]]
    assert [found[n][1] for n in sorted(found)] == [0] * 5 + [1] * 4
    assert prepared.decoder == f"Pillow {Image.__version__}"
    assert any(n == f"decoded with {prepared.decoder}" for n in prepared.notes)
    assert any("left out 1 image beside the videos" in n and "left/cover.png" in n for n in prepared.notes)
    pixels = torch.stack([c for c, _, part in found.values() if part == "train"]).double() / 255
    assert prepared.mean == pytest.approx(pixels.mean((0, 1, 3, 4)).tolist())
    assert prepared.std == pytest.approx(pixels.std((0, 1, 3, 4), correction=0).tolist())


def test_a_zip_with_test_clips_is_the_same_as_its_folder(tmp_path):
    for part, lengths in (("train", (9, 12, 20, 7)), ("test", (9, 9))):
        gifs(tmp_path / "videos" / part, lengths)
    with zipfile.ZipFile(tmp_path / "videos.zip", "w") as packed:
        for path in sorted((tmp_path / "videos").rglob("*.gif")):
            packed.write(path, path.relative_to(tmp_path / "videos"))
    folder, packed = load(tmp_path), load(tmp_path, path="videos.zip")
    assert len(folder.test) == 4
    a, b = everything(folder), everything(packed)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[n][0], b[n][0]) for n in a)


def test_clips_of_one_video_stay_together(tmp_path):
    gifs(tmp_path / "videos", (20, 30, 25, 40))
    prepared = load(tmp_path, clips_per_video=3)
    found = everything(prepared)
    assert len(found) == 8 * 3
    for first in range(0, 24, 3):
        assert len({found[first + k][2] for k in range(3)}) == 1
        assert len({found[first + k][1] for k in range(3)}) == 1
    assert {part for _, _, part in found.values()} == {"train", "val"}
    assert numbers(found[0][0]) == [0, 2, 4, 6]
    assert numbers(found[2][0]) == [13, 15, 17, 19]
    assert any("3 clips of each video" in n for n in prepared.notes)


@pytest.mark.parametrize("clips_per_video", [1, 2])
def test_streamed_clips_are_those_in_memory(tmp_path, clips_per_video):
    gifs(tmp_path / "videos", (9, 12, 20, 3))
    write_frames(tmp_path / "videos" / "left" / "walk", 12)
    memory = load(tmp_path, storage="memory", image_size=8, clips_per_video=clips_per_video)
    stream = load(tmp_path, storage="stream", image_size=8, clips_per_video=clips_per_video, num_workers=2)
    assert stream.image == (4, 3, 8, 8)
    assert (memory.mean, memory.std, memory.fingerprint) == (stream.mean, stream.std, stream.fingerprint)
    a, b = everything(memory), everything(stream)
    assert all(torch.equal(a[n][0], b[n][0]) for n in a | b)
    (tmp_path / "videos" / "left" / "0.gif").write_bytes(b"")
    with pytest.raises(DataError, match=r"left/0.gif .* it could be read when the run began"):
        everything(stream)


def test_decoded_once(tmp_path, monkeypatch):
    gifs(tmp_path / "videos", (9, 3, 20, 7))
    calls = []
    plain = clips_module._decode
    monkeypatch.setattr(clips_module, "_decode", lambda *args: calls.append(1) or plain(*args))
    first = load(tmp_path, image_size=8)
    assert len(calls) == 8
    again = load(tmp_path, image_size=8)
    assert len(calls) == 8
    assert (first.mean, first.notes) == (again.mean, again.notes)
    a, b = everything(first), everything(again)
    assert all(torch.equal(a[n][0], b[n][0]) for n in a)
    for number, changed in enumerate(({"clip_stride": 3}, {"clip_length": 5}, {"channels": 1}, {"clips_per_video": 2}), start=2):
        load(tmp_path, image_size=8, **changed)
        assert len(calls) == 8 * number
    monkeypatch.setattr(clips_module, "find_decoder", lambda **_: video.Decoder("another 2.0", video._decode_gif))
    load(tmp_path, image_size=8)
    assert len(calls) == 8 * 6


def test_short_videos_repeat_their_last_frame(tmp_path):
    gifs(tmp_path / "videos", (9, 3, 20, 7))
    prepared = load(tmp_path)
    assert numbers(everything(prepared)[1][0]) == [0, 2, 2, 2]
    (note,) = (n for n in prepared.notes if "repeated" in n)
    assert "left/1.gif (3 frames)" in note
    assert "0.gif" not in note


def test_gray_clips_have_one_channel_unless_one_is_in_color(tmp_path):
    gifs(tmp_path / "videos", color=False)
    write_frames(tmp_path / "videos" / "left" / "walk", 9, color=False)
    assert load(tmp_path).image == (4, 1, 16, 24)
    assert load(tmp_path, storage="stream").train.take(torch.arange(2))[0].shape == (2, 4, 1, 16, 24)
    assert load(tmp_path, channels=3).image == (4, 3, 16, 24)
    write_frames(tmp_path / "videos" / "left" / "run", 9)
    assert load(tmp_path).image == (4, 3, 16, 24)


HOSTILE = {
    "zero.gif": (b"", "is no GIF"),
    "text.gif": (b"these are words, not pictures" * 9, "is no GIF"),
    "head.gif": (b"GIF89a\x18\x00\x10\x00\xf0\x00\x00", "is cut off"),
    "end.gif": (b"GIF89a\x18\x00\x10\x00\xf0\x00\x00\x00;", "is cut off or damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_bad_clips_are_named_or_skipped(tmp_path, name):
    gifs(tmp_path / "videos")
    content, reason = HOSTILE[name]
    (tmp_path / "videos" / "left" / name).write_bytes(content)
    for _ in range(2):  # decoded, then from the cache
        with pytest.raises(DataError, match=rf"1 clip cannot be used; mend or remove them, or set data.bad_images=skip:\n  left/{name} {reason}"):
            load(tmp_path)
    prepared = load(tmp_path, bad_images="skip")
    assert len(everything(prepared)) == 8
    assert any("skipped 1 clip" in n and name in n for n in prepared.notes)


def test_a_gif_cut_off_is_bad(tmp_path):
    gifs(tmp_path / "videos")
    content = (tmp_path / "videos" / "left" / "2.gif").read_bytes()
    (tmp_path / "videos" / "left" / "2.gif").write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(DataError, match=r"left/2.gif is cut off: a GIF's last byte is missing"):
        load(tmp_path)


def test_a_bad_frame_names_itself(tmp_path):
    gifs(tmp_path / "videos")
    write_frames(tmp_path / "videos" / "left" / "walk", 7)
    (tmp_path / "videos" / "left" / "walk" / "frame2.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"left/walk/ frame2.png is no JPEG"):
        load(tmp_path)
    Image.fromarray(frame(2, 10, 10)).save(tmp_path / "videos" / "left" / "walk" / "frame2.png")
    with pytest.raises(DataError, match=r"left/walk/ has frames of different sizes; set one for all, such as data.image_size=64"):
        load(tmp_path)
    assert load(tmp_path, image_size=8).image == (4, 3, 8, 8)


def test_no_clip_of_a_class_can_be_read(tmp_path):
    gifs(tmp_path / "videos")
    for path in (tmp_path / "videos" / "left").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no training clip can be read of left"):
        load(tmp_path, bad_images="skip", image_size=8)


def test_different_sizes(tmp_path):
    gifs(tmp_path / "videos")
    write_gif(tmp_path / "videos" / "left" / "wide.gif", 9, width=40)
    with pytest.raises(
        DataError, match=r"the smallest is 24 x 16 \(left/0.gif\) and the largest is 40 x 16 \(left/wide.gif\); set one .*image_size=64"
    ):
        load(tmp_path)


def test_a_folder_of_images_is_no_folder_of_clips(tmp_path):
    gifs(tmp_path / "videos")
    for path in (tmp_path / "videos" / "left").iterdir():
        path.unlink()
    write_frames(tmp_path / "videos" / "left", 3)
    with pytest.raises(DataError, match=r"no videos in left, only single images: .* \(<class>/<clip>/\*.jpg\), or set data=folder"):
        load(tmp_path)
    (tmp_path / "videos" / "left").rename(tmp_path / "videos" / "old")
    (tmp_path / "videos" / "left").mkdir()
    with pytest.raises(DataError, match="no videos or folders of frames in left"):
        load(tmp_path)


def test_without_a_decoder_the_error_says_what_to_install(tmp_path, monkeypatch):
    gifs(tmp_path / "videos")
    (tmp_path / "videos" / "left" / "a.mp4").write_bytes(b"x")

    def fail(name):
        raise RuntimeError("Could not load libtorchcodec\nmany lines") if name == "torchcodec" else ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(video.importlib, "import_module", fail)
    text = r"neither can be imported \(torchcodec: Could not load libtorchcodec; av: No module named 'av'\): pip install 'zhurnal\[video\]'"
    with pytest.raises(DataError, match=text):
        load(tmp_path)


# --- encoded video, where PyAV is installed --------------------------------------------------------------------------------------------------

KINDS = {
    "mp4": {},
    "mov": {"options": {"crf": "1", "bf": "3"}},
    "mkv": {"kind": "matroska"},
    "avi": {"codec": "mpeg4", "options": {"q": "1"}},
    "webm": {"codec": "libvpx-vp9", "options": {"lossless": "1"}},
}


def encoded(suffix, num, **more):
    return video_bytes(num, **{"kind": suffix} | KINDS[suffix] | more)


@pytest.fixture
def av():
    return pytest.importorskip("av")


@pytest.fixture(params=["av", "torchcodec"])
def decoder(av, request):
    """Each of the two, where it is installed; the videos are made by PyAV."""
    try:
        return video.Decoder(request.param, dict(video.DECODERS)[request.param]()[1])
    except (ImportError, RuntimeError, OSError):
        pytest.skip(f"{request.param} cannot be imported")


def decode(decoder, content, choose=lambda num: range(num), image_size=None, channels=None):
    return decoder.decode(content, choose, image_size, channels)


@pytest.mark.parametrize("suffix", KINDS)
def test_every_frame_of_a_video_comes_out_in_order(decoder, suffix):
    frames = decode(decoder, encoded(suffix, 30))
    assert (frames.num_frames, frames.size, frames.pixels_FCHW.shape) == (30, (24, 16), (30, 3, 16, 24))
    found = [number_of(pixels_CHW) for pixels_CHW in frames.pixels_FCHW]
    assert np.abs(np.array(found) - np.arange(30)).max() <= (1 if suffix == "avi" else 0)
    some = decode(decoder, encoded(suffix, 30), lambda num: [num - 1, 3, 3, 17])
    assert np.array_equal(some.pixels_FCHW, frames.pixels_FCHW[[29, 3, 3, 17]])


def test_size_and_gray_as_for_images(decoder):
    content = encoded("mp4", 3)
    plain = decode(decoder, content).pixels_FCHW[0].transpose(1, 2, 0)
    square = Image.fromarray(plain).resize((8, 8), Image.Resampling.BILINEAR, box=(4, 0, 20, 16))
    assert np.array_equal(decode(decoder, content, image_size=8).pixels_FCHW[0].transpose(1, 2, 0), np.asarray(square))
    gray = decode(decoder, content, channels=1).pixels_FCHW
    assert np.array_equal(gray[0, 0], np.asarray(Image.fromarray(plain).convert("L")))


def test_a_video_filmed_upright_comes_out_upright(decoder):
    content = bytearray(encoded("mp4", 2))
    plain = decode(decoder, bytes(content))
    at = content.index(b"tkhd") + 44
    content[at : at + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)  # as phones do: turn clockwise to show
    turned = decode(decoder, bytes(content))
    assert (plain.size, turned.size) == ((24, 16), (16, 24))
    assert np.array_equal(turned.pixels_FCHW, np.rot90(plain.pixels_FCHW, -1, (2, 3)))


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("part", [0.2, 0.5, 0.85, 0.9])
def test_a_video_cut_off_is_bad(decoder, suffix, part):
    content = encoded(suffix, 30)
    if (decoder.name == "torchcodec" and suffix in ("mkv", "webm")) or (suffix == "webm" and part == 0.9):
        pytest.skip("nothing tells that a tenth of a webm is missing, and torchcodec not how long an mkv or webm should be")
    with pytest.raises(BadImage, match=r"cut off|cannot be decoded|holds no frames"):
        decode(decoder, content[: int(len(content) * part)])


@pytest.mark.parametrize(
    "content", [b"", b"these are words " * 30, bytes(4000), b"\x00\x00\x00\x18ftypmp42" + bytes(100)], ids=["zero", "text", "null", "head"]
)
def test_what_is_no_video_is_bad(decoder, content):
    with pytest.raises(BadImage, match=r"cannot be decoded as video \(.+\)"):
        decode(decoder, content)


def test_a_damaged_frame_is_bad(decoder):
    content = bytearray(encoded("mp4", 30))
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(b ^ 0x5A for b in content[middle : middle + 40])
    with pytest.raises(BadImage, match="cannot be decoded"):
        decode(decoder, bytes(content))


def test_a_sound_without_pictures_is_bad(decoder, av):
    import io

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 44100
        for packet in (*stream.encode(sound), *stream.encode()):
            container.mux(packet)
    with pytest.raises(BadImage, match="holds no video"):
        decode(decoder, buffer.getvalue())


def test_a_folder_of_videos(av, tmp_path):
    for i, suffix in enumerate(KINDS):
        for name in ("left", "right"):
            write_video(tmp_path / "videos" / name / f"{i}.{suffix}", 12, **{"kind": suffix} | KINDS[suffix])
    write_gif(tmp_path / "videos" / "left" / "5.gif", 12)
    (tmp_path / "videos" / "left" / "bad.mp4").write_bytes(encoded("mp4", 12)[:900])
    with pytest.raises(DataError, match=r"left/bad\.mp4 "):
        load(tmp_path)
    prepared = load(tmp_path, bad_images="skip")
    found = everything(prepared)
    assert len(found) == 11
    assert all(np.abs(np.array(numbers(c)) - [2, 4, 6, 8]).max() <= 1 for c, _, _ in found.values())
    assert prepared.decoder.startswith(("PyAV ", "torchcodec "))
    assert f"GIF with Pillow {Image.__version__}" in prepared.decoder
