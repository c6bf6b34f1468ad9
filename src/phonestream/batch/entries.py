"""An entry of a run: a recording to be transcribed, or why an input is none."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import TypeAlias

from ..asr.corpora.files import AUDIO_SUFFIXES
from ..streaming.audio.input_file import STANDARD_INPUT
from .raw import Raw

SUFFIXES = AUDIO_SUFFIXES | {
    ".3gp", ".aifc", ".amr", ".avi", ".mkv", ".mka", ".mov", ".m4b", ".m4v", ".mpg", ".mpeg", ".oga", ".rf64",
    ".snd", ".ts", ".wv",
}  # fmt: skip
"""Names of recordings within folders, in lower case. A file that is named itself may have any name."""

LOCAL = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/", "memory://")  # mean something else in another process


@dataclass(frozen=True)
class Source:
    """A recording, or a part of one, to be transcribed."""

    name: str
    """As it was given, or its id in a manifest: what results call it."""
    path: str
    """What to open; `-` for standard input."""
    stem: str
    """Where results go below the output folder, without an extension."""
    where: str = ""
    """What messages about it begin with: the manifest and the row that named it."""
    start: float = 0.0
    """Seconds."""
    seconds: float | None = None
    """How long the part is; None: to the end."""
    columns: tuple[int, ...] | None = None
    """Channels, counted from 0, that are meant; None for all."""
    raw: Raw | None = None
    """What the samples are like where no header says it."""
    size: int | None = None
    """Of a file behind a URL, in bytes, if a listing has it."""

    @property
    def local(self) -> bool:
        """Whether only this process can open it."""
        return self.path == STANDARD_INPUT or self.path.startswith(LOCAL)


@dataclass(frozen=True)
class Failure:
    """Why an input is not transcribed, in one line that names it."""

    reason: str
    name: str | None = None
    """Of the file or folder, where it is one."""

    @classmethod
    def of(cls, name: str, reason: str) -> "Failure":
        """Of a file or folder."""
        return cls(f"{name}: {reason}", name)


Entry: TypeAlias = Source | Failure


def paths(entries: Iterable[Entry]) -> list[str]:
    """What the recordings among `entries` are read from."""
    return [entry.path for entry in entries if isinstance(entry, Source)]


def without_ending(name: PurePath) -> PurePath:
    """A recording's name as that of its results: without the ending that says its format, whatever dots come before."""
    return name.with_suffix("") if name.suffix.lower() in SUFFIXES else name
