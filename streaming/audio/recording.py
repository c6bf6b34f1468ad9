"""What every reader of recordings has in common, whichever library decodes for it."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from ...errors import AudioError
from ..arrays import FloatArray

KINDS = "WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF and others that libsndfile reads"


class Audio(Protocol):
    """A recording open for reading: what `AudioFile` and `MediaFile` have in common."""

    path: str
    sample_rate: int
    channels: int
    seconds: float | None

    @property
    def remarks(self) -> tuple[str, ...]: ...

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[FloatArray]: ...

    def close(self) -> None: ...


class UnknownFormatError(AudioError):
    """Content that libsndfile does not recognise, or does not read to its end; another library may."""


def unexpected(path: str, error: Exception) -> AudioError:
    """What a decoder raised that nobody foresaw, as this recording's error."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return AudioError(
        f"{path}: cannot be read ({reason}); it is damaged, or made as no reader expects: "
        "convert it, for example with: ffmpeg -i FILE speech.wav"
    )


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
