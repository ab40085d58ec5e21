"""A folder or zip of images: which files are its images, of which class and part, and everything that is wrong with its layout, at once.

Layout: `train/<class>/*` and optionally `test/<class>/*`, or `<class>/*`. One folder around all of it is looked through. A class is a folder's name,
classes are sorted by name, folders inside a class are read too. Hidden files and what operating systems leave behind count as absent; files that are
no images by their suffix are left out and noted. Images are numbered in the order of their names, training images first.
"""

import hashlib
import json
import os
import re
import threading
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import DataError
from ...core.progress import Progress
from ...core.text import count, printable
from . import cache as cached
from .decode import SUFFIXES, BadImage

LARGEST_FILE = 256_000_000  # bytes, uncompressed
LARGEST_DIRECTORY = 64_000_000  # bytes of a zip's list of its members: about 600,000
MOST_PACKED, HARMLESS = 100, 16_000_000  # a member that is packed tighter, and not so small, is no image that anyone saved
MOST_NAMED = 20
NO_FILE = -1  # the size of a link to nowhere or a pipe: an image that cannot be read, not an absent one
_PART_LIKE = re.compile(r"(train|training|test|testing|val|valid|validation|dev|eval|evaluation)([ _-]?(set|data|images))?", re.IGNORECASE)
_LEFT_BEHIND = frozenset({"__macosx", "thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Kind:
    """What is looked for: the suffixes of its files, and what they are called."""

    suffixes: frozenset[str]
    one: str
    many: str
    a: str


IMAGES = Kind(SUFFIXES, "image", "images", "an image")


@dataclass(frozen=True)
class Found:
    """A file in a folder or zip: its name's parts, and what tells its content (a checksum in a zip, size and time in a folder)."""

    parts: tuple[str, ...]
    size: int
    mark: int


@dataclass(frozen=True)
class Listing:
    """All files and folders under a path, and how the content of one is read."""

    files: tuple[Found, ...]
    folders: frozenset[tuple[str, ...]]
    read: Callable[[tuple[str, ...]], bytes]


@dataclass(frozen=True)
class Source:
    """The images under a path, numbered. `read(number)` returns the bytes of an image's file; it raises BadImage where there are none."""

    path: Path
    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: tuple[int, ...]
    is_test: tuple[bool, ...]
    fingerprint: str
    notes: tuple[str, ...]
    read: Callable[[int], bytes]
    is_val: tuple[bool, ...] = ()  # empty where the set has no validation part of its own
    depth: int = 1  # so many parts of a name come before what is inside a class


def scan(path: Path, cache: Path, progress: Progress, kind: Kind = IMAGES) -> Source:
    """Return the images under the folder or zip `path`.

    `cache` keeps the hashes of a folder's files, so that those with the same size and time are not read again.

    Raises:
        DataError: there is nothing there, or the layout is not as above; all problems at once.
    """
    if not path.exists():
        raise DataError(f"data.path: {path} does not exist; give a folder or zip with train/<class>/* or <class>/*")
    is_zip = not path.is_dir()
    listing = _list_zip(path) if is_zip else _list_folder(path)
    images, classes, notes = _layout(path, listing, kind)
    labels = {name: label for label, name in enumerate(classes)}
    marks = [f"{f.mark:08x} {f.size}" for f in images] if is_zip else hashes(path, images, cache, progress)
    digest = hashlib.sha256()
    depth = _depth(listing)
    for image, mark in zip(images, marks, strict=True):
        digest.update(f"{mark} {'/'.join(image.parts[depth:])}\n".encode(errors="surrogateescape"))
    split = _has_parts(listing, depth)
    return Source(
        path=path,
        classes=classes,
        names=tuple("/".join(f.parts) for f in images),
        labels=tuple(labels[class_name(f.parts[depth + split])] for f in images),
        is_test=tuple(split and f.parts[depth] == "test" for f in images),
        fingerprint=digest.hexdigest(),
        notes=notes,
        read=lambda number: read_file(listing, images[number]),
        depth=depth + split + 1,
    )


def class_name(folder: str) -> str:
    """Return the class that a folder's name gives: composed characters (NFC), for macOS takes them apart; bytes that are no UTF-8 as `\\xe9`."""
    return unicodedata.normalize("NFC", os.fsencode(folder).decode("utf-8", "backslashreplace"))


def name_some(lines: Sequence[str], sep: str = ", ", most: int = MOST_NAMED) -> str:
    """Return up to `most` of `lines`, cleaned for a terminal, and how many more there are."""
    more = len(lines) - most
    return sep.join(printable(line) for line in lines[:most]) + (f"{sep}and {more:,} more" if more > 0 else "")


def read_file(listing: Listing, file: Found) -> bytes:
    """Return a file's bytes, or raise BadImage where it has none, has too many or cannot be read."""
    if file.size == NO_FILE:
        raise BadImage("is a link to nowhere, or no plain file")
    if file.size > LARGEST_FILE:
        raise BadImage(f"holds {file.size:,} bytes, more than {LARGEST_FILE // 1_000_000} MB")
    try:
        return listing.read(file.parts)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise BadImage(f"cannot be read ({error})") from error


# --- listing ---------------------------------------------------------------------------------------------------------------------------------


def _is_left_behind(part: str) -> bool:
    return part.startswith(".") or part.lower() in _LEFT_BEHIND


def _list_folder(path: Path) -> Listing:
    files: list[Found] = []
    folders: set[tuple[str, ...]] = set()

    def walk(folder: Path, parts: tuple[str, ...], above: frozenset[tuple[int, int]]) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                inside = (*parts, entry.name)
                if _is_left_behind(entry.name):
                    continue
                if entry.is_dir():
                    stat = Path(entry.path).stat()
                    if (stat.st_dev, stat.st_ino) not in above:  # a link to a folder that it is in would never end
                        folders.add(inside)
                        walk(Path(entry.path), inside, above | {(stat.st_dev, stat.st_ino)})
                else:
                    stat = entry.stat(follow_symlinks=entry.is_file())
                    files.append(Found(inside, stat.st_size if entry.is_file() else NO_FILE, stat.st_mtime_ns))

    try:
        root = path.stat()
        walk(path, (), frozenset({(root.st_dev, root.st_ino)}))
    except OSError as error:
        raise DataError(f"data.path: {error.filename or path} cannot be read ({error.strerror}); change its permissions or leave it out") from error
    return Listing(tuple(files), frozenset(folders), lambda parts: path.joinpath(*parts).read_bytes())


def _list_zip(path: Path) -> Listing:
    """List a zip file, opened once for each thread that reads.

    Raises:
        DataError: it is no zip, is damaged or encrypted, or a member would lie outside of it.
    """
    handles = threading.local()
    try:
        _check_directory(path)
        handles.zip = zipfile.ZipFile(path)
        members: list[zipfile.ZipInfo] = handles.zip.infolist()
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
        raise DataError(
            f"data.path: {path} is neither a folder nor a zip that can be read ({error}); give one of them, or download it again"
        ) from error
    outside = [m.orig_filename for m in members if _is_outside(m)]
    encrypted = [m.filename for m in members if m.flag_bits & 1]
    problems = []
    if outside:
        problems.append(f"{path}: members reach outside of the zip, or are links: {name_some(outside)}; pack it again without them")
    if encrypted:
        problems.append(f"{path}: {count(len(encrypted), 'member')} with a password: {name_some(encrypted)}; pack it again without one")
    if problems:
        raise DataError("\n".join(problems))
    files: dict[tuple[str, ...], zipfile.ZipInfo] = {}
    twice: set[str] = set()
    folders: set[tuple[str, ...]] = set()
    for member in members:
        parts = tuple(p for p in member.filename.split("/") if p not in ("", "."))
        if any(_is_left_behind(p) for p in parts):
            continue
        depth = len(parts) + member.is_dir()
        folders.update(parts[:end] for end in range(1, depth))
        if not member.is_dir():
            twice |= {"/".join(parts)} if parts in files else set()
            files[parts] = member
    if twice:
        raise DataError(f"{path}: {count(len(twice), 'name')} that stand twice: {name_some(sorted(twice))}; pack it again with each once")

    def read(parts: tuple[str, ...]) -> bytes:
        if not hasattr(handles, "zip"):
            handles.zip = zipfile.ZipFile(path)
        member = files[parts]
        if member.file_size > max(HARMLESS, MOST_PACKED * member.compress_size):
            raise ValueError(f"it is packed more than {MOST_PACKED} to 1: {member.file_size:,} bytes in {member.compress_size:,}")
        with handles.zip.open(member) as packed:
            content: bytes = packed.read(member.file_size + 1)  # a size that lies is not trusted: without one, all would be unpacked
        return content

    return Listing(tuple(Found(parts, m.file_size, m.CRC) for parts, m in files.items()), frozenset(folders), read)


def _check_directory(path: Path) -> None:
    """Raise ValueError where a zip's list of members is larger than can be read in a moment; what it says of itself elsewhere is not trusted."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 66_000))
        tail = file.read()
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < 22:
            return  # no zip, which whoever opens it tells
        size = int.from_bytes(tail[at + 12 : at + 16], "little")
        if size == 0xFFFFFFFF and tail[at - 20 : at - 16] == b"PK\6\7":
            file.seek(int.from_bytes(tail[at - 12 : at - 4], "little"))
            size = int.from_bytes(file.read(56)[40:48], "little")
    if size > LARGEST_DIRECTORY:
        raise ValueError(f"its list of members has {size:,} bytes, at most {LARGEST_DIRECTORY:,} are read: unpack it into a folder")


def _is_outside(member: zipfile.ZipInfo) -> bool:
    name = member.orig_filename.replace("\\", "/")
    is_link = (member.external_attr >> 16) & 0o170000 == 0o120000
    return is_link or name.startswith("/") or ".." in name.split("/") or name[1:2] == ":" or "\0" in name


# --- layout ----------------------------------------------------------------------------------------------------------------------------------


def _depth(listing: Listing) -> int:
    """Return 1 where one folder that is no class and no part is around everything, else 0."""
    top = {parts[0] for parts in listing.folders}
    if len(top) != 1 or top & {"train", "test"}:
        return 0
    return int(any(len(parts) == 2 for parts in listing.folders))


def _has_parts(listing: Listing, depth: int) -> bool:
    return any(len(parts) == depth + 1 and parts[depth] == "train" for parts in listing.folders)


def _is_image(file: Found, kind: Kind) -> bool:
    stem, dot, suffix = file.parts[-1].rpartition(".")
    return bool(stem) and f"{dot}{suffix}".lower() in kind.suffixes


def _layout(path: Path, listing: Listing, kind: Kind) -> tuple[list[Found], tuple[str, ...], tuple[str, ...]]:
    """Return the image files in order, the classes, and notes on what was left out."""
    depth = _depth(listing)
    split = _has_parts(listing, depth)
    at = depth + split  # where a class stands in the parts of a name
    parts_used = ("train", "test") if split else ("",)
    wanted = "it must hold train/<class>/* (and test/<class>/*), or <class>/*"
    if not split and any(parts[depth:] == ("test",) for parts in listing.folders):
        raise DataError(f"{path}: has a folder test but no folder train; {wanted}")
    in_use = [parts for parts in listing.folders if not split or parts[depth : depth + 1] in (("train",), ("test",))]
    class_folders = sorted(parts for parts in in_use if len(parts) == at + 1)
    if not class_folders:
        raise DataError(f"{path}: has no class folders{' in train' if split else ''}; {wanted}")
    tops = sorted({class_name(parts[at]) for parts in class_folders})
    if not split and all(_PART_LIKE.fullmatch(top) for top in tops) and any(len(parts) > at + 1 for parts in in_use):
        raise DataError(f"{path}: {' and '.join(tops)} look like parts of the images, not like classes: rename them to train and test; {wanted}")
    inside = [f for f in listing.files if len(f.parts) > at + 1 and (not split or f.parts[depth] in parts_used)]
    images = [f for f in inside if _is_image(f, kind)]
    filled = {f.parts[: at + 1] for f in images}
    classes = tuple(sorted({class_name(parts[at]) for parts in class_folders if not split or parts[depth] == "train"}))
    problems = []
    if empty := ["/".join(parts) for parts in class_folders if parts not in filled]:
        problems.append(f"{path}: no {kind.many} in {name_some(empty)}; add some, or remove the folder{'s' if len(empty) > 1 else ''}")
    if len(classes) < 2:
        only = f", only {printable(classes[0])}" if classes else ""
        problems.append(f"{path}: has fewer than 2 classes{' in train' if split else ''}{only}; {wanted}")
    if split and (unknown := sorted({class_name(parts[at]) for parts in class_folders if parts[depth] == "test"} - set(classes))):
        problems.append(f"{path}: test has classes that train lacks: {name_some(unknown)}; add them to train, or remove them from test")
    if problems:
        raise DataError("\n".join(problems))
    images.sort(key=lambda f: (split and f.parts[depth] == "test", f.parts))
    return images, classes, _left_out(listing, inside, at, depth, split, kind)


def _left_out(listing: Listing, inside: Iterable[Found], at: int, depth: int, split: bool, kind: Kind) -> tuple[str, ...]:
    notes = []
    if others := sorted("/".join(f.parts) for f in inside if not _is_image(f, kind)):
        notes.append(f"left out {count(len(others), 'file')} without the suffix of {kind.a}: {name_some(others)}")
    if split and (folders := sorted("/".join(p) for p in listing.folders if len(p) == depth + 1 and p[depth] not in ("train", "test"))):
        notes.append(f"left out the folders beside train and test: {name_some(folders)}")
    stray = sorted(
        "/".join(f.parts)
        for f in listing.files
        if _is_image(f, kind) and len(f.parts) <= at + 1 and (not split or f.parts[depth] in ("train", "test"))
    )
    if stray:
        notes.append(f"left out {count(len(stray), kind.one)} outside of class folders: {name_some(stray)}")
    return tuple(notes)


# --- hashes of a folder's files --------------------------------------------------------------------------------------------------------------


def hashes(path: Path, images: Sequence[Found], cache: Path, progress: Progress) -> list[str]:
    """Return the SHA-256 of each file's content; a file that cannot be read has none, and is found bad when it is decoded."""
    index = cache / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.files.json"
    known: dict[str, list[object]] = {}
    try:
        loaded = json.loads(index.read_bytes())
        known = loaded if isinstance(loaded, dict) else {}
    except (OSError, ValueError):  # absent or damaged: every file is read
        pass

    def hash_of(file: Found) -> str:
        before = known.get("/".join(file.parts))
        if isinstance(before, list) and before[:2] == [file.size, file.mark] and len(before) == 3:
            return str(before[2])
        if file.size == NO_FILE:
            return "unreadable"
        try:
            with path.joinpath(*file.parts).open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError:
            return "unreadable"

    marks = []
    with ThreadPoolExecutor(cached.num_threads()) as pool:
        for mark in pool.map(hash_of, images):
            marks.append(mark)
            if len(marks) % 256 == 0 or len(marks) == len(images):
                progress("reading files", len(marks), len(images))
    current = {"/".join(f.parts): [f.size, f.mark, m] for f, m in zip(images, marks, strict=True) if m != "unreadable"}
    if current != known:
        try:
            cache.mkdir(parents=True, exist_ok=True)
            cached.write(index, lambda file: file.write(json.dumps(current).encode()))
        except OSError:  # a cache that cannot be written costs time, nothing else; folder.py says so in a note
            pass
    return marks
