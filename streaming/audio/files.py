"""Audio files as blocks of samples: constant memory whatever their length, and no audio silently lost."""

import os
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, cast

import soundfile

from ...errors import AudioError
from ..arrays import FloatArray
from . import containers
from .closing import Closing
from .containers.sds import check_packets
from .containers.view import Piece
from .input_file import open_input
from .recording import KINDS, Audio, UnknownFormatError, explained, lost_remark, span, unexpected
from .samples import check_rate

BLOCK_SECONDS = 10  # of audio at a time
BLOCK_VALUES = 1 << 22  # samples times channels at a time at most, 16 MiB of float32

MPEG_SLACK = 2 * 1152  # samples

_NOT_AUDIO = (1, 7)  # libsndfile's codes for content that it does not recognise
_UNKNOWN_LENGTH = (1 << 63) - 1  # libsndfile's number of frames where the header has none
_EXACT = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")
"""Subtypes in which a seek gives the same samples as reading on; other codecs remember what came before."""


def open_audio(path: str | os.PathLike[str], file: BinaryIO | None = None) -> Audio:
    """Open a recording with libsndfile, or with PyAV (the extra `media`) what libsndfile does not know.

    `-` is standard input, which is copied to a temporary file like any pipe.

    Args:
        path: a name.
        file: the file, where it is open already and can seek; then `path` only names it. It is closed with the
            recording, and by every error.

    Raises:
        AudioError: as for `AudioFile`, or its sample rate is none that a stream may have; the message names the
            extra where only it is missing.
    """
    name = os.fspath(path)
    if file is None:
        file = open_input(name)
    return _with_usable_rate(_open_either(name, file))


def _with_usable_rate(audio: Audio) -> Audio:
    """Refuse a rate before anything is read, or computed from it."""
    try:
        check_rate(audio.sample_rate)
    except AudioError as error:
        audio.close()
        raise AudioError(f"{audio.path}: {error}") from None
    return audio


def _open_either(name: str, file: BinaryIO) -> Audio:
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
                f"{error}, or have other formats and codecs read too: pip install 'phonestream[media]'"
            ) from None
        except BaseException:
            file.close()
            raise


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """Reads on without seeking.

    After each read, soundfile seeks a seekable file to where it already is. That is no harm in WAV, but
    makes the MP3 decoder start afresh without the frames before, which is heard at every block's beginning,
    and fails at the end of a FLAC file that does not say how long it is.
    """

    def seekable(self) -> bool:
        return False


class AudioFile(Closing):
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
        remarks: what a person should know of a file that is heard, in lines that do not name it.
        lost: what is missing within it.

    Raises:
        AudioError: there is no such file, it may not be read, is no audio or of a codec that libsndfile lacks
            (UnknownFormatError), holds no samples, breaks off or is damaged; the message begins with the path.
    """

    def __init__(self, path: str | os.PathLike[str], file: BinaryIO | None = None) -> None:
        self.path = os.fspath(path)
        self._file = open_input(self.path) if file is None else file
        self._pieces: tuple[Piece, ...] | None = None
        try:
            with open(self._file.fileno(), "rb", closefd=False) as buffered:
                check_packets(buffered)
            self._sound = self._decoder()
            self.format: str = self._sound.format
            verdict = self._check()
            self.lost = verdict.lost
            silence = self.format == "FLAC"  # which libFLAC puts in the place of frames
            self.remarks = (*verdict.remarks, *lost_remark(verdict.lost, silence=silence))
            if verdict.pieces is not None:
                self._pieces = verdict.pieces
                self._sound = self._decoder()
            self._position = 0  # of the decoder, in samples per channel
            self.sample_rate: int = self._sound.samplerate
            self.channels: int = self._sound.channels
            self.frames: int | None = self._length(verdict.samples)
            self.seconds: float | None = None if self.frames is None else self.frames / self.sample_rate
        except (UnknownFormatError, containers.UnsupportedError) as error:
            self._close_decoder()
            if file is None:
                self.close()
            raise UnknownFormatError(f"{self.path}: {error}") from None
        except AudioError as error:
            self.close()
            raise AudioError(f"{self.path}: {error}") from None
        except Exception as error:
            self.close()
            raise unexpected(self.path, error) from error
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
            return explained(self.path, self._decoded(0))
        first = min(start, self.frames or 0) if self._sound.subtype.startswith(_EXACT) else 0
        blocks = explained(self.path, self._decoded(first))
        return span(blocks, start - first, None if stop is None else stop - first)

    def _decoded(self, done: int) -> Iterator[FloatArray]:
        size = max(1, min(BLOCK_SECONDS * self.sample_rate, BLOCK_VALUES // self.channels))
        if self._position != done:
            if done == 0:  # some codecs cannot seek
                self._close_decoder()
                self._sound = self._decoder()
            else:
                self._sound.seek(done)
            self._position = done
        while self.frames is None or done < self.frames:  # behind the last sample a tag may follow
            wanted = size if self.frames is None else min(size, self.frames - done)
            try:
                block = cast(FloatArray, self._sound.read(wanted, dtype="float32", always_2d=True))
            except soundfile.LibsndfileError:
                raise self._broken("is damaged or breaks off", self._reached(done)) from None
            if not len(block):
                break
            done += len(block)
            self._position = done
            yield block
        if done < (self.frames or 0) - self._slack():
            raise self._broken("breaks off", done)

    def _reached(self, done: int) -> int:
        """Where the decoder stands after an error within a block that began at `done`."""
        try:
            return max(done, int(self._sound.tell()))
        except soundfile.LibsndfileError:  # a codec that cannot seek
            return done

    def _slack(self) -> int:
        """How many samples the decoder may leave out: MPEG frames that refer to others before the first."""
        return MPEG_SLACK if self._sound.subtype.startswith("MPEG") else 0

    def close(self) -> None:
        """Give the file back. Closing twice is no error."""
        self._close_decoder()
        self._file.close()

    def _close_decoder(self) -> None:
        if hasattr(self, "_sound"):
            self._sound.close()

    def _decoder(self) -> _Sequential:
        """libsndfile on the open file, by descriptor: a name that is not UTF-8 never reaches it."""
        try:
            if self._pieces is not None:
                return _Sequential(containers.View(self._file, self._pieces))
            os.lseek(self._file.fileno(), 0, os.SEEK_SET)
            return _Sequential(self._file.fileno(), closefd=False)
        except soundfile.LibsndfileError as error:
            if error.code in _NOT_AUDIO:
                raise UnknownFormatError(
                    f"is not audio of a kind that can be read ({KINDS}); "
                    "convert it, for example with: ffmpeg -i FILE speech.wav"
                ) from None
            raise UnknownFormatError(
                f"cannot be read ({error.error_string.strip().rstrip('.')}): of a codec that libsndfile lacks, "
                "or not whole; convert it, for example with: ffmpeg -i FILE speech.wav"
            ) from None

    def _check(self) -> containers.Verdict:
        """Hold the container against what the decoder found in it."""
        descriptor = self._file.fileno()
        position = os.lseek(descriptor, 0, os.SEEK_CUR)  # shared with libsndfile, which reads on from there
        known = self._sound.frames != _UNKNOWN_LENGTH
        with open(descriptor, "rb", closefd=False) as file:
            check = partial(
                containers.check,
                file,
                kind=self.format,
                subtype=self._sound.subtype,
                seconds=self._sound.frames / self._sound.samplerate if known else None,
                sample_rate=self._sound.samplerate,
            )
            try:
                verdict = check()
            except containers.JitterError:
                if not self._decodes():
                    raise
                verdict = check(jumps=True)
        os.lseek(descriptor, position, os.SEEK_SET)
        return verdict

    def _decodes(self) -> bool:
        """Whether the decoder gives as many samples as it states."""
        done = 0
        with self._decoder() as sound:
            try:
                while count := len(sound.read(BLOCK_SECONDS * sound.samplerate, always_2d=True)):
                    done += count
            except soundfile.LibsndfileError:
                return False
            return done >= int(sound.frames)

    def _length(self, counted: int | None) -> int | None:
        """Samples per channel, as the checker `counted` them or else the decoder states them."""
        stated = None if self._sound.frames == _UNKNOWN_LENGTH else int(self._sound.frames)
        if stated == 0 or counted == 0:
            raise AudioError(
                "holds no samples, or its recording was interrupted; "
                "try to repair it with: ffmpeg -i FILE repaired.wav"
            )
        if counted is None or stated is None:
            return stated
        if counted > stated + MPEG_SLACK:  # the decoder stops where its guess ends
            raise AudioError(
                f"has no length header, so that its end after {stated / self._sound.samplerate:.2f} s would be "
                "lost; convert it, for example with: ffmpeg -i FILE whole.wav"
            )
        return min(stated, counted)

    def _broken(self, what: str, frames: int) -> AudioError:
        of = "" if self.seconds is None else f" of {self.seconds:.2f}"
        return AudioError(
            f"{self.path}: {what} after {frames / self.sample_rate:.2f}{of} s; copy or download it again"
        )
