"""What every reader of recordings has in common, whichever library decodes for it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from ...errors import AudioError
from ..arrays import FloatArray

KINDS = "WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF and others that libsndfile reads"


class Lost(NamedTuple):
    """Audio that never arrived, in seconds from the start of the stream or recording."""

    start: float
    seconds: float


class Audio(Protocol):
    """A recording open for reading: what `AudioFile` and `MediaFile` have in common."""

    path: str
    sample_rate: int
    channels: int
    seconds: float | None

    @property
    def remarks(self) -> tuple[str, ...]: ...

    @property
    def lost(self) -> tuple[Lost, ...]:
        """What is missing within it, in order; complete once it has been read."""
        ...

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


def explained(path: str, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
    """`blocks`; any error on the way but an AudioError is `unexpected`."""
    try:
        yield from blocks
    except AudioError:
        raise
    except Exception as error:
        raise unexpected(path, error) from error


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


def lost_within(lost: Iterable[Lost], start: float, stop: float) -> tuple[Lost, ...]:
    """What of `lost` lies between two times of a recording, in seconds from the first of them."""
    within = ((max(start, begin), min(stop, begin + seconds)) for begin, seconds in lost)
    return tuple(Lost(begin - start, end - begin) for begin, end in within if end > begin)


def lost_remark(lost: Sequence[Lost], *, silence: bool) -> tuple[str, ...]:
    """The line about what is missing within a recording; none if nothing is.

    Args:
        lost: in order.
        silence: whether zeros stand in its place.
    """
    if not lost:
        return ()
    places = "" if len(lost) == 1 else f", in {len(lost)} places"
    instead = "; silence stands for it" if silence else ""
    missing = sum(seconds for _, seconds in lost)
    return (f"lacks {missing:.2f} s of audio from {lost[0].start:.2f} s on{places}{instead}",)
