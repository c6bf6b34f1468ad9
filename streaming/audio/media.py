"""Recordings that libsndfile does not read (m4a, mp4, webm, wma …), through PyAV, the extra `media`."""

import os
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO, Never

import av
import numpy as np

from ...errors import AudioError
from ..arrays import FloatArray
from . import containers
from .recording import KINDS, Lost, UnknownFormatError, explained, lost_remark, span, unexpected
from .samples import slices

BLOCK_SECONDS = 1  # of audio at a time, at least; a packet may hold more
GAP_SECONDS = 0.05
"""Time stamps are rounded, to the millisecond in Matroska; a larger hole between two frames is lost audio."""
EXACT_GAP_SECONDS = 0.005
"""The same in Ogg, whose positions count samples. Silence stands only for holes above `GAP_SECONDS`: smaller ones are
often taken back on a later page."""
MAX_GAP_SECONDS = 3600
# FFmpeg's names; of others it guesses the length
STATE_THEIR_LENGTH = ("mov,", "matroska,", "asf", "avi", "flac", "wv", "tta", "ape")
SLACK_SECONDS = 0.15
"""How much less than its header promises a whole file may hold: encoders count their padding differently."""


FORMATS = (
    "aac", "ac3", "eac3", "aiff", "amr", "amrnb", "amrwb", "ape", "asf", "au", "avi", "caf", "dsf", "dts",
    "flac", "flv", "g722", "gsm", "iff", "mov", "matroska", "mp3", "mpc", "mpc8", "mpeg", "mpegts", "nistsphere",
    "ogg", "oma", "rm", "tak", "tta", "voc", "w64", "wav", "wv", "xwma",
)  # fmt: skip
"""FFmpeg's names of the containers that are opened: recordings, and no list of other files or addresses."""
OPTIONS = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file,pipe"}


def _refuse_other_files(url: str, *_: object) -> Never:
    """What is read stays in the file: a playlist or a description opens nothing else."""
    raise PermissionError(f"it points to {url!r}, and only the file itself is read")


class MediaFile:
    """The first audio track of a file that FFmpeg reads, a video among them; used like `AudioFile`.

    Times are the file's own, those of a player: where the sound begins after the picture, or packets are
    missing, there is silence.

    Args:
        path: names the file.
        file: the file, open for reading and seekable. It is closed with this one.

    Attributes:
        path: as given.
        sample_rate: in Hz, of the decoded audio.
        channels: how many.
        seconds: the length that the file states, or FFmpeg's guess; None where there is neither (webm from a
            browser).
        remarks: what a person should know of a file that is heard, in lines that do not name it; what is missing
            within it, once it has been read.

    Raises:
        AudioError: FFmpeg does not know the format (UnknownFormatError), there is no audio in it, or it is
            damaged; the message begins with the path.
    """

    def __init__(self, path: str, file: BinaryIO) -> None:
        self.path = path
        self._file = file
        # A view never fails to seek, of which PyAV would print a traceback.
        self._input = containers.View(file, ((0, file.seek(0, os.SEEK_END)),))
        try:
            with self._open() as container:
                self.seconds = _length(container)
                kind = container.format.name
                stated = kind.startswith(STATE_THEIR_LENGTH)
                self._promised = self.seconds if stated else None
                try:
                    frame = next(_frames(container), None)
                except av.error.FFmpegError as error:
                    raise self._broken(f"is damaged ({error.strerror})", 0) from None
        except AudioError:
            raise
        except Exception as error:
            raise unexpected(path, error) from error
        if frame is None:
            raise AudioError(f"{path}: holds no samples, or its recording was interrupted; record it again")
        self.sample_rate: int = frame.sample_rate
        self.channels: int = frame.layout.nb_channels
        if not self.sample_rate or not self.channels:
            raise AudioError(f"{path}: has no sample rate or no channels; it is damaged, so record it again")
        try:
            file.seek(0)
            with open(file.fileno(), "rb", closefd=False) as buffered:
                verdict = containers.check_decoded(buffered, kind, self.sample_rate)
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from None
        self._remarks = verdict.remarks
        self._least = EXACT_GAP_SECONDS if kind == "ogg" else GAP_SECONDS  # that is told as lost
        self._lost: list[Lost] = []
        if verdict.pieces is not None:
            self._input = containers.View(file, verdict.pieces)

    @property
    def remarks(self) -> tuple[str, ...]:
        silence = all(seconds > GAP_SECONDS for _, seconds in self._lost)
        return *self._remarks, *lost_remark(self._lost, silence=silence)

    @property
    def lost(self) -> tuple[Lost, ...]:
        """What is missing within it, as far as it has been read, on the clock of its samples."""
        return tuple(self._lost)

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[FloatArray]:
        """The samples from `start` up to `stop`, as `AudioFile.blocks` gives them.

        Raises:
            AudioError: the file is damaged, breaks off before the length that it states, or changes its rate
                or channels; the message says after how many seconds.
        """
        return span(explained(self.path, self._gathered()), start, stop)

    def close(self) -> None:
        """Give the file back. Closing twice is no error."""
        self._file.close()

    def _gathered(self) -> Iterator[FloatArray]:
        waiting: list[FloatArray] = []
        count = 0
        for samples in self._samples():
            waiting.append(samples)
            count += len(samples)
            if count >= BLOCK_SECONDS * self.sample_rate:
                yield np.concatenate(waiting)
                waiting, count = [], 0
        if waiting:
            yield np.concatenate(waiting)

    def _samples(self) -> Iterator[FloatArray]:
        """Each frame's samples [n, channels], and zeros where the time stamps leave a hole."""
        rate, done = self.sample_rate, 0
        owed = 0  # samples that are told as lost, for which no zeros stand; time stamps may sway by so many again
        to_float = av.AudioResampler(format="fltp")
        self._lost = []
        with self._open() as container:
            origin = Fraction(container.start_time or 0, av.time_base)
            try:
                for frame in _frames(container):
                    if (frame.sample_rate, frame.layout.nb_channels) != (rate, self.channels):
                        raise self._broken("changes its sample rate or channels", done / rate)
                    begins = 0 if frame.pts is None else frame.pts * (frame.time_base or 0) - origin
                    hole = round(begins * rate) - done
                    if hole > MAX_GAP_SECONDS * rate:
                        raise self._broken(f"has a hole of {hole / rate:.0f} s", done / rate)
                    if hole - owed > self._least * rate:
                        if done:  # else the sound begins after the picture
                            self._lost.append(Lost(done / rate, (hole - owed) / rate))
                        owed = hole
                    if hole > GAP_SECONDS * rate:
                        owed = 0
                        done += hole
                        for piece in slices(hole, rate):
                            yield np.zeros((piece.stop - piece.start, self.channels), np.float32)
                    for converted in to_float.resample(frame):
                        samples = np.ascontiguousarray(converted.to_ndarray().T, dtype=np.float32)
                        done += len(samples)
                        yield samples
            except av.error.FFmpegError as error:
                raise self._broken(f"is damaged or breaks off ({error.strerror})", done / rate) from None
        if self._promised is not None and done < (self._promised - SLACK_SECONDS) * rate:
            raise self._broken("breaks off", done / rate, self._promised)

    def _open(self) -> "av.container.InputContainer":
        self._input.seek(0)
        try:
            container = av.open(
                self._input, mode="r", metadata_errors="replace", options=OPTIONS, io_open=_refuse_other_files
            )
        except av.error.FFmpegError as error:
            if not self._is_mp4():
                raise UnknownFormatError(
                    f"{self.path}: is not audio of a kind that can be read ({KINDS}, and what FFmpeg reads); "
                    "convert it, for example with: ffmpeg -i FILE speech.wav"
                ) from None
            raise AudioError(
                f"{self.path}: cannot be read ({error.strerror}); "
                "it is damaged or cut short, so copy or download it again"
            ) from None
        if not container.streams.audio:
            container.close()
            raise AudioError(f"{self.path}: holds no audio, only pictures or text; give another file")
        return container

    def _is_mp4(self) -> bool:
        """Whether the file begins as ISO base media (mp4, m4a, mov): then FFmpeg missed its index, not its kind."""
        self._file.seek(4)
        return self._file.read(4) in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")

    def _broken(self, what: str, seconds: float, of: float | None = None) -> AudioError:
        whole = "" if of is None else f" of {of:.2f}"
        return AudioError(
            f"{self.path}: {what} after {seconds:.2f}{whole} s; copy or download it again, or convert it"
        )


def _frames(container: "av.container.InputContainer") -> "Iterator[av.AudioFrame]":
    """Decoded frames of the first audio track.

    Raises:
        av.error.FFmpegError: a packet is damaged.
    """
    for packet in container.demux(container.streams.audio[0]):
        if packet.is_corrupt:
            raise av.error.InvalidDataError(0, "a packet is damaged")
        yield from packet.decode()


def _length(container: "av.container.InputContainer") -> float | None:
    """Seconds that the audio track states, or the file where the track does not, and has no other."""
    stream = container.streams.audio[0]
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams.get()) == 1:
        return container.duration / av.time_base
    return None
