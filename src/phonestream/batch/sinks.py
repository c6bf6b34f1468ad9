"""Where results are written: invisible until all of a recording's are whole."""

import os
import tempfile
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, cast

from ..errors import PhonestreamError, system_errors_as

HIDDEN = ".phonestream"
"""Folder of unfinished results within the output folder, of each run its own: the same file system, so that renaming is
atomic."""

SPOOL = 1 << 20  # bytes of a result that stay in memory; more go to a temporary file


class ResultSink(Protocol):
    """Takes the files of one recording."""

    def open(self, channel: int | None, extension: str) -> BinaryIO:
        """An empty file to write to, which can seek: for a channel counted from 1, or for all of them mixed."""

    def commit(self) -> None:
        """All is written: let it be seen."""

    def discard(self) -> None:
        """Something failed: leave no trace. After `commit` it does nothing."""


class Payload(NamedTuple):
    """One result of a recording, kept at hand."""

    channel: int | None  # counted from 1, where each channel has its own
    extension: str
    file: BinaryIO  # to be read from its beginning, and closed


class MemorySink:
    """Keeps results for whoever prints or sends them on; a large one is in a temporary file."""

    def __init__(self) -> None:
        self.payloads: list[Payload] = []

    def open(self, channel: int | None, extension: str) -> BinaryIO:
        file = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=SPOOL))  # noqa: SIM115 (its reader closes it)
        self.payloads.append(Payload(channel, extension, file))
        return file

    def commit(self) -> None:
        for payload in self.payloads:
            payload.file.seek(0)

    def discard(self) -> None:
        for payload in self.payloads:
            payload.file.close()
        self.payloads = []


class FolderSink:
    """Writes results below an output folder, each under its name only when it is whole.

    The first channel's take their names last: where those are, the other channels' are too.
    """

    def __init__(self, folder: str, unfinished: Path, stem: str) -> None:
        self._folder = folder
        self._unfinished = unfinished
        self._stem = stem
        self._files: list[tuple[BinaryIO, str, Path]] = []  # open file, its name, the name it shall have

    def open(self, channel: int | None, extension: str) -> BinaryIO:
        target = Path(self._folder, target_name(self._stem, channel, extension))
        with written_to(target):
            self._unfinished.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._unfinished)
        file = os.fdopen(descriptor, "w+b")
        self._files.append((file, name, target))
        return file

    def commit(self) -> None:
        """Name the files.

        Raises:
            PhonestreamError: one cannot be written.
        """
        for file, _, target in self._files:
            with written_to(target):
                file.flush()
                os.fsync(file.fileno())  # on the disk before it has its name, lest a power cut leave it empty
                file.close()
        mask = os.umask(0)
        os.umask(mask)
        for _, name, target in reversed(self._files):
            with written_to(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                os.chmod(name, 0o666 & ~mask)  # temporary files are private, results like any other file
                os.replace(name, target)
        self._files = []

    def discard(self) -> None:
        for file, name, _ in self._files:
            with suppress(OSError):
                file.close()
            with suppress(OSError):
                os.unlink(name)
        self._files = []


def target_name(stem: str, channel: int | None, extension: str) -> str:
    """Name of a result: STEM.EXT, or STEM.CHANNEL.EXT where each channel has its own."""
    part = "" if channel is None else f".{channel}"
    return f"{stem}{part}.{extension}"


def written_to(path: Path | str) -> AbstractContextManager[None]:
    """Inside, a result is written; where the system refuses to take it, a PhonestreamError says so."""
    return system_errors_as(
        PhonestreamError, f"{path}: cannot be written", "make room, or give another --output", also=ValueError
    )
