"""Videos made for tests: frames whose gray level tells their number, as folders of PNG, GIF, or encoded by PyAV where it is installed."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def frame(number: int, width: int = 24, height: int = 16, *, color: bool = True) -> np.ndarray:
    """Frame `number`: level 40 + 4 * number, with a bright square on its left side."""
    shape = (height, width, 3) if color else (height, width)
    pixels = np.full(shape, 40 + 4 * number, np.uint8)
    pixels[height // 4 : height // 2, 2:6] = 255
    return pixels


def number_of(pixels_CHW: np.ndarray) -> int:
    """The number of a frame, from a pixel that is not part of the square."""
    return round((float(pixels_CHW[..., -2, -2].mean()) - 40) / 4)


def write_frames(folder: Path, num: int, *, name: str = "frame{}.png", **kinds) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(num):
        Image.fromarray(frame(i, **kinds)).save(folder / name.format(i))


def write_gif(path: Path, num: int, **kinds) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [Image.fromarray(frame(i, **kinds)) for i in range(num)]
    images[0].save(path, "GIF", save_all=True, append_images=images[1:], duration=40, loop=0)


def video_bytes(num: int, *, codec: str = "libx264", kind: str = "mp4", options: dict[str, str] | None = None, rotation: int = 0, **kinds) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=25, options=options or {"crf": "1"})
        first = frame(0, **kinds)
        stream.width, stream.height, stream.pix_fmt = first.shape[1], first.shape[0], "yuv420p"
        for i in range(num):
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame(i, **kinds), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return buffer.getvalue()


def write_video(path: Path, num: int, **kinds) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(video_bytes(num, **kinds))
