"""What every layout needs of a corpus folder: its files in order, numbered lines of text, names of splits."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import DataError
from ...text_file import read_text as whole_text

AUDIO_SUFFIXES = frozenset({
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".sph", ".w64",
    # libsndfile does not read these, or not as LDC compresses them; they are reported and not passed over.
    ".wv1", ".wv2", ".m4a", ".mp4", ".aac", ".wma", ".webm",
})  # fmt: skip
SPLITS = ("train", "dev", "test")
MAX_TEXT_BYTES = 2 << 30  # an index of millions of recordings is one file


def walk(folder: Path) -> list[Path]:
    """All files below `folder`, sorted, links followed once, names that begin with a dot left out.

    Raises:
        DataError: it is not a folder, or cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the folder that holds the corpus")
    files: list[Path] = []
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}")

    for parent, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(parent)
        if real in seen:  # a link back up the tree
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(files)


def is_audio(path: Path) -> bool:
    """Whether the name is one of an audio file."""
    return path.suffix.lower() in AUDIO_SUFFIXES


def is_split(name: str) -> bool:
    """Whether a folder's name says its split: `train`, `dev` or `test`, or one of these and `-…`."""
    return name.partition("-")[0] in SPLITS


def is_split_name(name: str) -> bool:
    """Whether `name` can be the name of a split, and so of a file."""
    return re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) is not None


def read_text(path: Path) -> str:
    """A text file, with or without a byte order mark.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    return whole_text(path, "text", limit=MAX_TEXT_BYTES, remedy="check the corpus")


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Lines that are not blank, each with `file:line` before it.

    Raises:
        DataError: the file cannot be read, or is not UTF-8.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", line.rstrip("\r")
