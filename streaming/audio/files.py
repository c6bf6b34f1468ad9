"""Audio files as blocks of samples: constant memory whatever their length, and no audio silently lost."""

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import BinaryIO, Protocol, Self, cast

import soundfile

from ...errors import AudioError
from ..arrays import FloatArray
from . import containers

BLOCK_SECONDS = 10  # of audio at a time
BLOCK_VALUES = 1 << 22  # samples times channels at a time at most, 16 MiB of float32
KINDS = "WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF and others that libsndfile reads"

STANDARD_INPUT = "-"

_NOT_AUDIO = (1, 7)  # libsndfile's codes for content that it does not recognise
_UNKNOWN_LENGTH = (1 << 63) - 1  # libsndfile's number of frames where the header has none
_EXACT = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")
"""Subtypes in which a seek gives the same samples as reading on; other codecs remember what came before."""


class Audio(Protocol):
    """A recording open for reading: what `AudioFile` and `MediaFile` have in common."""

    path: str
    sample_rate: int
    channels: int
    seconds: float | None

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[FloatArray]: ...

    def close(self) -> None: ...


class UnknownFormatError(AudioError):
    """Content that libsndfile does not recognise; another library may."""


def open_audio(path: str | os.PathLike[str], file: BinaryIO | None = None) -> Audio:
    """Open a recording with libsndfile, or with PyAV (the extra `media`) what libsndfile does not know.

    `-` is standard input, which is copied to a temporary file like any pipe.

    Args:
        path: a name.
        file: the file, where it is open already and can seek; then `path` only names it. It is closed with the
            recording, and by every error.

    Raises:
        AudioError: as for `AudioFile`; the message names the extra where only it is missing.
    """
    name = os.fspath(path)
    if file is None:
        file = _open(name)
    try:
        return AudioFile(name, file)
    except UnknownFormatError as error:
        try:
            from .media import MediaFile

            return MediaFile(name, file)
        except ModuleNotFoundError as missing:
            file.close()
            if missing.name != "av":
                raise
            raise AudioError(
                f"{error}, or have other formats read too: pip install 'phonestream[media]'"
            ) from None
        except BaseException:
            file.close()
            raise


def span(blocks: Iterable[FloatArray], start: int, stop: int | None) -> Iterator[FloatArray]:
    """The samples from `start` up to `stop` of a recording that comes in `blocks` [n, channels]."""
    done = 0
    for block in blocks:
        piece = block[max(0, start - done) : None if stop is None else max(0, stop - done)]
        if len(piece):
            yield piece
        done += len(block)
        if stop is not None and done >= stop:
            return


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """Reads on without seeking.

    After each read, soundfile seeks a seekable file to where it already is. That is no harm in WAV, but
    makes the MP3 decoder start afresh without the frames before, which is heard at every block's beginning,
    and fails at the end of a FLAC file that does not say how long it is.
    """

    def seekable(self) -> bool:
        return False


class AudioFile:
    """An audio file open for reading, of any format that libsndfile knows.

    A pipe is copied to a temporary file first: most formats can be neither checked nor decoded without
    seeking.

        with AudioFile("speech.flac") as audio:
            for block in audio.blocks():
                stream.accept(block, audio.sample_rate)

    Args:
        path: a name.
        file: the file, where it is open already; then `path` only names it. It is closed with this one, and
            by every error but UnknownFormatError.

    Attributes:
        path: as given.
        sample_rate: in Hz.
        channels: how many.
        frames: length in samples per channel, None where the header does not say (FLAC from a pipe).
        seconds: the same in seconds.
        format: libsndfile's name of the container, such as `WAV`.

    Raises:
        AudioError: there is no such file, it may not be read, is no audio (UnknownFormatError), holds no
            samples, breaks off or is damaged; the message begins with the path.
    """

    def __init__(self, path: str | os.PathLike[str], file: BinaryIO | None = None) -> None:
        self.path = os.fspath(path)
        self._file = _open(self.path) if file is None else file
        try:
            self._sound = self._decoder()
            self.sample_rate: int = self._sound.samplerate
            self.channels: int = self._sound.channels
            self.format: str = self._sound.format
            known = self._sound.frames != _UNKNOWN_LENGTH
            self.frames: int | None = self._sound.frames if known else None
            self.seconds: float | None = self._sound.frames / self.sample_rate if known else None
            self._check()
        except UnknownFormatError as error:
            if file is None:
                self.close()
            raise UnknownFormatError(f"{self.path}: {error}") from None
        except AudioError as error:
            self.close()
            raise AudioError(f"{self.path}: {error}") from None
        except BaseException:
            self.close()
            raise

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[FloatArray]:
        """The samples from `start` up to `stop`, counted in each channel; without them all, from the beginning.

        They come as arrays [n, channels], in [-1, 1] where the file holds integers.

        Raises:
            AudioError: the file turns out to break off or to be damaged; the message says after how many
                seconds. The blocks before were good.
        """
        if start == 0 and stop is None:
            return self._read(0)
        first = min(start, self.frames or 0) if self._sound.subtype.startswith(_EXACT) else 0
        return span(self._read(first), start - first, None if stop is None else stop - first)

    def _read(self, done: int) -> Iterator[FloatArray]:
        size = max(1, min(BLOCK_SECONDS * self.sample_rate, BLOCK_VALUES // self.channels))
        if self._sound.tell() != done:
            self._sound.seek(done)
        while True:
            try:
                block = cast(FloatArray, self._sound.read(size, dtype="float32", always_2d=True))
            except soundfile.LibsndfileError:
                raise self._broken("is damaged or breaks off", self._sound.tell()) from None
            if not len(block):
                break
            done += len(block)
            yield block
        if done < (self.frames or 0):
            raise self._broken("breaks off", done)

    def close(self) -> None:
        """Give the file back. Closing twice is no error."""
        if hasattr(self, "_sound"):
            self._sound.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decoder(self) -> _Sequential:
        """libsndfile on the open file, by descriptor: a name that is not UTF-8 never reaches it."""
        os.lseek(self._file.fileno(), 0, os.SEEK_SET)
        try:
            return _Sequential(self._file.fileno(), closefd=False)
        except soundfile.LibsndfileError as error:
            if error.code in _NOT_AUDIO:
                raise UnknownFormatError(
                    f"is not audio of a kind that can be read ({KINDS}); "
                    "convert it, for example with: ffmpeg -i FILE speech.wav"
                ) from None
            raise AudioError(
                f"cannot be read ({error.error_string.strip().rstrip('.')}); "
                "it is damaged or cut short, so copy or download it again"
            ) from None

    def _check(self) -> None:
        if self.frames == 0:
            raise AudioError(
                "holds no samples, or its recording was interrupted; "
                "try to repair it with: ffmpeg -i FILE repaired.wav"
            )
        if self.frames is None or self.seconds is None:
            return
        descriptor = self._file.fileno()
        position = os.lseek(descriptor, 0, os.SEEK_CUR)  # shared with libsndfile, which reads on from there
        with open(descriptor, "rb", closefd=False) as file:
            containers.check(file, seconds=self.seconds, frames=self.frames, sample_rate=self.sample_rate)
        os.lseek(descriptor, position, os.SEEK_SET)

    def _broken(self, what: str, frames: int) -> AudioError:
        of = "" if self.seconds is None else f" of {self.seconds:.2f}"
        return AudioError(
            f"{self.path}: {what} after {frames / self.sample_rate:.2f}{of} s; copy or download it again"
        )


def _open(path: str) -> BinaryIO:
    """A seekable, non-empty file.

    Raises:
        AudioError: it cannot be had; the message begins with the path.
    """
    try:
        file: BinaryIO = _standard_input() if path == STANDARD_INPUT else open(path, "rb", buffering=0)  # noqa: SIM115
    except IsADirectoryError:
        raise AudioError(
            f"{path}: is a folder; give the files in it, for example {path.rstrip('/')}/*.wav"
        ) from None
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file; check the name") from None
    except PermissionError:
        raise AudioError(f"{path}: may not be read; ask its owner or change its permissions") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise AudioError(f"{path}: cannot be opened: {reason}") from None
    try:
        status = os.fstat(file.fileno())
        if stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode):
            with file:
                pipe, file = file, cast(BinaryIO, tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
                shutil.copyfileobj(pipe, file)
        elif not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{path}: is a device, not a file or a pipe; record from it into a file first")
        if os.fstat(file.fileno()).st_size == 0:
            raise AudioError(f"{path}: is empty; record, copy or download it again")
    except BaseException:
        file.close()
        raise
    return file


def _standard_input() -> BinaryIO:
    """Standard input, which stays open when the file is closed."""
    if sys.stdin is None:  # closed by whoever started us
        raise OSError("standard input is closed")
    return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
