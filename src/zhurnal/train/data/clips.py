"""A folder or zip of videos by class becomes clips: decoded once into memory and a cache, or checked once and then streamed.

Layout as for images (source.py). A video is a file (mp4, avi, mov, mkv, webm, gif) or a folder of images inside a class, its frames, in the order of
their names with numbers counted as numbers. Of each video `clips_per_video` clips are taken, evenly spaced; the clips of one video are samples one
after the other and stay on one side of the split. A video that is shorter than a clip repeats its last frame.

Legend: V videos, P clips of each, N = V x P clips, T frames, C channels, H height, W width.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.errors import DataError
from ...core.progress import Progress
from ...core.settings import Clips
from ...core.text import count, list_names, printable
from . import cache as cached
from .decode import SUFFIXES, BadImage, decode, strict_pillow
from .images import Images, Streamed, Workers, in_memory
from .loaded import Loaded, moments_of
from .source import Kind, Source, name_some, scan
from .video import VIDEO_SUFFIXES, Choose, Decoder, Frames, find_decoder

_KIND = Kind(VIDEO_SUFFIXES | SUFFIXES, "file", "videos or folders of frames", "a video or image")


@dataclass(frozen=True)
class Video:
    """A video: its name for people, class and part, and the numbers of its files in the source: one, or its frames in order."""

    name: str
    label: int
    is_test: bool
    files: tuple[int, ...]
    is_frames: bool


@dataclass
class _Checked:
    """What decoding all videos has shown. `bad` maps a video's number to what is wrong with it, `short` to its number of frames."""

    channels: int
    size: tuple[int, int]
    bad: dict[int, str] = field(default_factory=dict)
    short: dict[int, int] = field(default_factory=dict)
    moments_VPC2: Tensor = field(default_factory=lambda: torch.empty(0))
    pixels_VPTCHW: np.ndarray | None = None


def load(data: Clips, path: Path, cache: Path, progress: Progress, fits: Callable[[int], bool]) -> Loaded:
    """Return the clips of a folder or zip, in memory if they are to be there or `fits(bytes)` says so.

    Raises:
        DataError: the layout is wrong, videos cannot be read (unless they are to be skipped), sizes differ, or there is no decoder.
    """
    source = scan(path, cache, progress, _KIND)
    videos, notes = _videos(source)
    gifs = [_is_gif(v.name) for v in videos if not v.is_frames]
    decoder = find_decoder(has_video=not all(gifs), has_gif=any(gifs))
    with strict_pillow():
        size = _first_size(source, videos, decoder, data)
        num_bytes = len(videos) * data.clips_per_video * data.clip_length * (data.channels or 3) * size[0] * size[1]
        in_ram = data.storage == "memory" or (data.storage == "auto" and fits(num_bytes))
        settings = (data.image_size, data.channels, data.clip_length, data.clip_stride, data.clips_per_video)
        key = hashlib.sha256(f"clips {source.fingerprint} {settings} {in_ram} {decoder.name}".encode()).hexdigest()[:32]

        def make() -> _Checked:
            made = _decode_all(source, videos, decoder, data, size, in_ram, progress)
            _stop_at_bad(source, videos, data, made.bad)
            return made

        checked, why = cached.once(
            cache, key, progress, pixels=in_ram, read=_from_facts, make=make, facts=lambda made: (_to_facts(made), made.pixels_VPTCHW)
        )
        notes += [f"decoded clips {why}"] if why else []
        _stop_at_bad(source, videos, data, checked.bad)
    notes += _notes(videos, decoder, data, checked)
    good_V = torch.tensor([i for i in range(len(videos)) if i not in checked.bad])
    shape = (data.clip_length, checked.channels, *checked.size)
    if checked.pixels_VPTCHW is not None:
        images: Images = in_memory(torch.from_numpy(checked.pixels_VPTCHW.reshape(-1, *shape)))
    else:
        notes.append(f"streamed: {num_bytes / 1e9:.1f} GB do not fit in memory" if data.storage == "auto" else "streamed, as data.storage says")
        images = _streamed(source, videos, good_V.tolist(), decoder, data, shape)
    per = data.clips_per_video
    return Loaded(
        name=path.stem if path.is_file() else path.resolve().name,
        classes=source.classes,
        images=images,
        labels_N=torch.tensor([v.label for v in videos])[good_V].repeat_interleave(per),
        is_test_N=torch.tensor([v.is_test for v in videos])[good_V].repeat_interleave(per),
        numbers_N=(good_V[:, None] * per + torch.arange(per)).flatten(),
        moments_NC2=checked.moments_VPC2.flatten(0, 1),
        fingerprint=source.fingerprint,
        notes=tuple(notes),
        per_group=per,
        decoder=decoder.name,
    )


def frames_of_clips(num_frames: int, length: int, stride: int, num_clips: int) -> list[int]:
    """Return the numbers of the frames of all clips of a video, clip after clip; a video that is too short repeats its last frame.

    >>> frames_of_clips(20, length=3, stride=2, num_clips=2)
    [0, 2, 4, 15, 17, 19]
    """
    room = max(0, num_frames - ((length - 1) * stride + 1))
    starts = [room // 2] if num_clips == 1 else [(2 * i * room + num_clips - 1) // (2 * (num_clips - 1)) for i in range(num_clips)]
    return [min(start + t * stride, num_frames - 1) for start in starts for t in range(length)]


# --- which videos there are ------------------------------------------------------------------------------------------------------------------


def _is_gif(name: str) -> bool:
    return name.lower().endswith(".gif")


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return what sorts frame2 before frame10."""
    return [(int(digits), "") if digits else (-1, text) for digits, text in re.findall(r"(\d+)|(\D+)", name)], name


def _videos(source: Source) -> tuple[list[Video], list[str]]:
    """Return the videos among the files of a source, and notes.

    Raises:
        DataError: a class has none.
    """
    groups: dict[str, list[int]] = {}
    stray: list[str] = []
    for number, name in enumerate(source.names):
        folder, _, last = name.rpartition("/")
        if f".{last.rpartition('.')[2].lower()}" in VIDEO_SUFFIXES:
            groups[name] = [number]
        elif name.count("/") == source.depth:
            stray.append(name)
        else:
            groups.setdefault(f"{folder}/", []).append(number)
    videos = []
    for name, numbers in groups.items():
        numbers.sort(key=lambda n: _natural(source.names[n]))
        videos.append(Video(name, source.labels[numbers[0]], source.is_test[numbers[0]], tuple(numbers), name.endswith("/")))
    have = {v.label for v in videos if not v.is_test}
    if lost := [name for label, name in enumerate(source.classes) if label not in have]:
        raise DataError(
            f"{source.path}: no videos in {list_names(map(printable, lost))}, only single images: put the frames of each clip into a folder of their "
            "own (<class>/<clip>/*.jpg), or set data=folder to train on images"
        )
    notes = list(source.notes)
    if stray:
        notes.append(f"left out {count(len(stray), 'image')} beside the videos (the frames of a clip need a folder of their own): {name_some(stray)}")
    return videos, notes


# --- decoding --------------------------------------------------------------------------------------------------------------------------------


def _decode(source: Source, video: Video, decoder: Decoder, data: Clips, choose: Choose) -> Frames:
    if not video.is_frames:
        return decoder.decode(source.read(video.files[0]), choose, data.image_size, data.channels)
    frames: dict[int, np.ndarray] = {}
    sizes, gray = set(), True
    wanted = choose(len(video.files))
    for number in dict.fromkeys(wanted):
        file = video.files[number]
        try:
            decoded = decode(source.read(file), data.image_size, data.channels or 3)
        except BadImage as error:
            raise BadImage(f"{source.names[file].rpartition('/')[2]} {error}") from error
        frames[number] = decoded.pixels_CHW
        sizes.add(decoded.size)
        gray = gray and decoded.gray
    if len(sizes) > 1 and data.image_size is None:
        raise BadImage("has frames of different sizes; set one for all, such as data.image_size=64")
    return Frames(np.stack([frames[i] for i in wanted]), len(video.files), sizes.pop(), gray)


def _choose(data: Clips) -> Choose:
    return lambda num_frames: frames_of_clips(num_frames, data.clip_length, data.clip_stride, data.clips_per_video)


def _first_size(source: Source, videos: Sequence[Video], decoder: Decoder, data: Clips) -> tuple[int, int]:
    """Return the height and width that frames are to have: the size asked for, or that of the first video that can be read."""
    if data.image_size is not None:
        return data.image_size, data.image_size
    lines = []
    for video in videos:
        try:
            width, height = _decode(source, video, decoder, data, lambda num_frames: [0]).size
            return height, width
        except BadImage as error:
            lines.append(f"{video.name} {error}")
    raise DataError(f"{source.path}: none of its {len(videos):,} clips can be used:\n  " + name_some(lines, "\n  "))


def _decode_all(
    source: Source, videos: Sequence[Video], decoder: Decoder, data: Clips, size: tuple[int, int], keep: bool, progress: Progress
) -> _Checked:
    """Decode the clips of every video, in as many threads as there are processors; the pixels are kept if `keep`.

    Raises:
        DataError: the videos have different sizes.
    """
    num, per, channels = len(videos), data.clips_per_video, data.channels or 3
    shape = (per, data.clip_length, channels, *size)
    checked = _Checked(channels, size, moments_VPC2=torch.zeros((num, per, channels, 2), dtype=torch.int64))
    kept = np.zeros((num, *shape), np.uint8) if keep else None
    sizes: dict[int, tuple[int, int]] = {}
    grays: dict[int, bool] = {}

    def work(number: int) -> None:
        try:
            frames = _decode(source, videos[number], decoder, data, _choose(data))
        except BadImage as error:
            checked.bad[number] = str(error)
            return
        sizes[number], grays[number] = frames.size, frames.gray
        if frames.num_frames < (data.clip_length - 1) * data.clip_stride + 1:
            checked.short[number] = frames.num_frames
        if frames.pixels_FCHW.shape[2:] == size:
            clips_PTCHW = frames.pixels_FCHW.reshape(shape)
            checked.moments_VPC2[number] = moments_of(torch.from_numpy(clips_PTCHW))
            if kept is not None:
                kept[number] = clips_PTCHW

    with ThreadPoolExecutor(cached.num_threads()) as pool:
        jobs = [pool.submit(work, number) for number in range(num)]
        try:
            for done, job in enumerate(as_completed(jobs), start=1):
                job.result()
                progress("decoding clips" if keep else "checking clips", done, num)
        except BaseException:  # Ctrl-C, or a bug: do not decode the rest first
            pool.shutdown(cancel_futures=True)
            raise
    if data.image_size is None and len(set(sizes.values())) > 1:
        ends = sorted(sizes, key=lambda n: (sizes[n][0] * sizes[n][1], n))
        text = " and ".join(
            f"the {what} is {sizes[n][0]} x {sizes[n][1]} ({printable(videos[n].name)})" for what, n in (("smallest", ends[0]), ("largest", ends[-1]))
        )
        raise DataError(f"{source.path}: its clips have different sizes, {text}; set one for all, such as data.image_size=64")
    good = [n for n in range(num) if n not in checked.bad]
    if data.channels is None and all(grays.values()):
        checked.channels = 1
    checked.moments_VPC2 = checked.moments_VPC2[good][:, :, : checked.channels]
    checked.pixels_VPTCHW = None if kept is None else np.ascontiguousarray(kept[good][:, :, :, : checked.channels])
    return checked


def _streamed(source: Source, videos: Sequence[Video], numbers: list[int], decoder: Decoder, data: Clips, shape: tuple[int, ...]) -> Streamed:
    """Return clips that are decoded when taken."""
    per, length = data.clips_per_video, data.clip_length

    def decode_row(row: int) -> Tensor:
        video, part = videos[numbers[row // per]], row % per
        try:
            frames = _decode(source, video, decoder, data, lambda num: _choose(data)(num)[part * length : (part + 1) * length])
        except BadImage as error:
            raise DataError(f"{source.path}: {video.name} {error}; it could be read when the run began: put it back, and run again") from error
        if frames.pixels_FCHW.shape[2:] != shape[2:]:
            raise DataError(f"{source.path}: {video.name} has changed its size since the run began: put it back, and run again")
        return torch.from_numpy(np.ascontiguousarray(frames.pixels_FCHW[:, : shape[1]]))

    return Streamed(decode_row, torch.arange(len(numbers) * per), shape, Workers(data.num_workers))


# --- what is told, and what the cache keeps --------------------------------------------------------------------------------------------------


def _stop_at_bad(source: Source, videos: Sequence[Video], data: Clips, bad: dict[int, str]) -> None:
    if not bad:
        return
    lines = [f"{videos[i].name} {reason}" for i, reason in sorted(bad.items())]
    if data.bad_images == "stop":
        way_out = "mend or remove them, or set data.bad_images=skip"
        raise DataError(f"{source.path}: {count(len(bad), 'clip')} cannot be used; {way_out}:\n  " + name_some(lines, "\n  "))
    left = {v.label for i, v in enumerate(videos) if i not in bad and not v.is_test}
    if lost := [name for label, name in enumerate(source.classes) if label not in left]:
        raise DataError(f"{source.path}: no training clip can be read of {name_some(lost)}:\n  " + name_some(lines, "\n  "))


def _notes(videos: Sequence[Video], decoder: Decoder, data: Clips, checked: _Checked) -> list[str]:
    notes = [f"decoded with {decoder.name}"]
    if data.clips_per_video > 1:
        notes.append(f"{data.clips_per_video} clips of each video, on the same side of the split; accuracy counts clips")
    if checked.short:
        names = [f"{videos[i].name} ({count(n, 'frame')})" for i, n in sorted(checked.short.items())]
        notes.append(f"the last frame is repeated where a video is shorter than a clip: {name_some(names)}")
    if checked.bad:
        names = [f"{videos[i].name} ({reason})" for i, reason in sorted(checked.bad.items())]
        notes.append(f"skipped {count(len(names), 'clip')}: {name_some(names)}")
    return notes


def _to_facts(checked: _Checked) -> dict[str, Any]:
    moments_VPC2 = checked.moments_VPC2.contiguous()
    return {
        "clips": [*moments_VPC2.shape[:2], checked.channels, *checked.size],
        "bad": {str(i): reason for i, reason in checked.bad.items()},
        "short": {str(i): frames for i, frames in checked.short.items()},
        "moments": base64.b64encode(moments_VPC2.numpy().tobytes()).decode(),
    }


def _from_facts(facts: dict[str, Any], pixels_VPTCHW: np.ndarray | None) -> _Checked:
    num, per, channels, height, width = facts["clips"]
    moments_VPC2 = torch.from_numpy(np.frombuffer(bytearray(base64.b64decode(facts["moments"])), np.int64).reshape(num, per, channels, 2))
    bad, short = ({int(i): v for i, v in facts[k].items()} for k in ("bad", "short"))
    return _Checked(channels, (height, width), bad, short, moments_VPC2, pixels_VPTCHW)
