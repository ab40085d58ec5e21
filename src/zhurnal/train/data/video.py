"""One video file becomes frames: uint8, upright, gray or color, resized if asked; only the frames of its clips are kept.

Decoder: torchcodec where it imports, else PyAV (`pip install 'zhurnal[video]'`); GIF by Pillow, always there. A file is decoded from its beginning,
frame by frame, so that what comes out does not depend on where a decoder can seek to. A file with fewer frames than its header promises, or with a
damaged frame before the last one that is needed, cannot be used, as far as its format lets damage be seen. Torchcodec does not tell of an mkv or
webm that was cut off between two frames, and takes what is left of it.

Legend: F frames, C channels, H height, W width.
"""

import importlib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...core.errors import DataError
from .decode import DAMAGED, LARGEST, BadImage, to_mode, to_pixels

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".avi", ".mov", ".mkv", ".webm", ".gif"})
MOST_FRAMES = 1_000_000
Choose = Callable[[int], Sequence[int]]  # number of frames in the file -> those wanted, in any order, repeated or not


@dataclass(frozen=True)
class Frames:
    """The frames chosen, how many the file has, width and height before resizing, and whether it is gray (the pixels may be color all the same)."""

    pixels_FCHW: np.ndarray
    num_frames: int
    size: tuple[int, int]
    gray: bool


Decode = Callable[[bytes, Choose, int | None, int | None], Frames]  # content, choose, image_size, channels; raises BadImage


@dataclass(frozen=True)
class Decoder:
    """What decodes: its name with its version, and how."""

    name: str
    decode: Decode


def find_decoder(has_video: bool, has_gif: bool) -> Decoder:
    """Return the decoder for a set of files: Pillow where all are GIF or frames (`has_video` is false), else torchcodec or PyAV.

    Raises:
        DataError: it needs torchcodec or PyAV, and neither imports.
    """
    import PIL

    pillow = f"Pillow {PIL.__version__}"
    if not has_video:
        return Decoder(pillow, _decode_gif)
    reasons = []
    for module, use in DECODERS:
        try:
            name, decode = use()
        except (ImportError, RuntimeError, OSError) as error:  # torchcodec raises RuntimeError where it finds no FFmpeg
            reasons.append(f"{module}: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}")
            continue
        return Decoder(f"{name}, GIF with {pillow}" if has_gif else name, partial(_decode_either, decode))
    raise DataError(
        f"reading video needs PyAV or torchcodec, and neither can be imported ({'; '.join(reasons)}): pip install 'zhurnal[video]'; "
        "or give clips as folders of frames (<class>/<clip>/*.jpg) or as GIF, or take data=moving_shapes"
    )


def _decode_either(video: Decode, content: bytes, choose: Choose, image_size: int | None, channels: int | None) -> Frames:
    return (_decode_gif if content.startswith(b"GIF8") else video)(content, choose, image_size, channels)


def _wanted(choose: Choose, num_frames: int) -> Sequence[int]:
    if num_frames == 0:
        raise BadImage("holds no frames")
    if num_frames > MOST_FRAMES:
        raise BadImage(f"holds {num_frames:,} frames, more than {MOST_FRAMES:,}")
    return choose(num_frames)


def _check_size(width: int, height: int) -> None:
    if width * height > LARGEST:
        raise BadImage(f"{width} x {height} pixels are more than {LARGEST // 1_000_000} million")
    if width * height == 0:
        raise BadImage("holds no picture")


def _array_to_pixels(frame_HWC: np.ndarray, image_size: int | None, channels: int | None) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(frame_HWC)
    return to_pixels(image.convert("L") if channels == 1 else image, image_size)


# --- PyAV ------------------------------------------------------------------------------------------------------------------------------------


def _use_av() -> tuple[str, Decode]:
    av: Any = importlib.import_module("av")
    codec = ".".join(map(str, av.library_versions["libavcodec"]))

    def decode(content: bytes, choose: Choose, image_size: int | None, channels: int | None) -> Frames:
        try:
            return _decode_av(av, content, choose, image_size, channels)
        except (av.FFmpegError, OSError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
            raise BadImage(f"cannot be decoded as video ({getattr(error, 'strerror', None) or error or type(error).__name__})") from error

    return f"PyAV {av.__version__} (libavcodec {codec})", decode


def _decode_av(av: Any, content: bytes, choose: Choose, image_size: int | None, channels: int | None) -> Frames:
    av.logging.set_level(None)  # what matters is raised
    with av.open(io.BytesIO(content)) as container:
        if not container.streams.video:
            raise BadImage("holds no video")
        stream = container.streams.video[0]
        promised, seconds, end = stream.frames, (container.duration or 0) / av.time_base, 0.0
        num_frames = num_corrupt = 0
        for packet in container.demux():
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index == stream.index and packet.size:
                num_frames, num_corrupt = num_frames + 1, num_corrupt + packet.is_corrupt
    if num_corrupt or num_frames < promised:
        raise BadImage(f"is cut off: {num_frames - num_corrupt:,} of its {max(promised, num_frames):,} frames are there")
    if not promised and end < 0.95 * seconds - 0.1:  # mkv and webm promise seconds, not frames
        raise BadImage(f"is cut off: {end:.1f} of its {seconds:.1f} seconds are there")
    while True:  # twice at most: packets are not always frames, and only decoding tells how many of those there are
        wanted = _wanted(choose, num_frames)
        with av.open(io.BytesIO(content)) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1  # files are decoded side by side
            frames: dict[int, np.ndarray] = {}
            needed, found, size, gray = frozenset(wanted), 0, (0, 0), False
            for frame in container.decode(stream):
                if found in needed:
                    if frame.is_corrupt:
                        raise BadImage(f"is damaged: frame {found:,} cannot be decoded")
                    _check_size(frame.width, frame.height)
                    gray = frame.format.name.startswith("gray")
                    upright_HWC = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                    size = (upright_HWC.shape[1], upright_HWC.shape[0])
                    frames[found] = _array_to_pixels(np.ascontiguousarray(upright_HWC), image_size, channels)
                found += 1
                if found > max(wanted):
                    break
        if len(frames) == len(needed):
            return Frames(np.stack([frames[i] for i in wanted]), num_frames, size, gray)
        num_frames = found


# --- torchcodec ------------------------------------------------------------------------------------------------------------------------------


def _use_torchcodec() -> tuple[str, Decode]:
    torchcodec: Any = importlib.import_module("torchcodec")
    decoders: Any = importlib.import_module("torchcodec.decoders")

    def decode(content: bytes, choose: Choose, image_size: int | None, channels: int | None) -> Frames:
        try:
            video = decoders.VideoDecoder(content, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
            num_frames = int(video.metadata.num_frames or 0)
            promised = int(getattr(video.metadata, "num_frames_from_header", None) or 0)
            if num_frames < promised:
                raise BadImage(f"is cut off: {num_frames:,} of its {promised:,} frames are there")
            wanted = _wanted(choose, num_frames)
            frames, size = {}, (0, 0)
            for number in dict.fromkeys(wanted):
                frame_HWC = video.get_frame_at(number).data.numpy()
                size = (frame_HWC.shape[1], frame_HWC.shape[0])
                _check_size(*size)
                frames[number] = _array_to_pixels(frame_HWC, image_size, channels)
            return Frames(np.stack([frames[i] for i in wanted]), num_frames, size, gray=False)
        except (RuntimeError, OSError, ValueError, TypeError, LookupError, MemoryError) as error:
            if "video stream" in str(error):
                raise BadImage("holds no video") from error
            text = re.sub(r"^.*\.cpp:\d+, ", "", (str(error).splitlines() or [type(error).__name__])[0])
            raise BadImage(f"cannot be decoded as video ({text})") from error

    return f"torchcodec {torchcodec.__version__}", decode


DECODERS = (("torchcodec", _use_torchcodec), ("av", _use_av))  # the first that imports is taken


# --- GIF -------------------------------------------------------------------------------------------------------------------------------------


def _decode_gif(content: bytes, choose: Choose, image_size: int | None, channels: int | None) -> Frames:
    from PIL import Image, UnidentifiedImageError

    if content.startswith(b"GIF8") and b"\x00;" not in content[-64:]:
        raise BadImage("is cut off: a GIF's last byte is missing")
    try:
        with Image.open(io.BytesIO(content), formats=("GIF",)) as image:
            _check_size(*image.size)
            num_frames = int(getattr(image, "n_frames", 1))
            wanted = _wanted(choose, num_frames)
            frames: dict[int, np.ndarray] = {}
            gray = True
            for number in dict.fromkeys(wanted):
                image.seek(number)
                image.load()
                frames[number] = to_pixels(to_mode(image.copy(), "L" if channels == 1 else "RGB"), image_size)
                gray = gray and bool((frames[number] == frames[number][:1]).all())  # the mode does not tell: GIF has palettes
            return Frames(np.stack([frames[i] for i in wanted]), num_frames, image.size, gray)
    except UnidentifiedImageError:
        raise BadImage("is cut off or damaged" if content.startswith(b"GIF8") else "is no GIF, though it is named so") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(str(error)) from error
    except DAMAGED as error:
        raise BadImage(f"cannot be decoded ({error or type(error).__name__})") from error
