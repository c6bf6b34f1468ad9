"""A whole audio file through a stream."""

from contextlib import closing
from functools import cache
from os import PathLike, fspath
from typing import TYPE_CHECKING

from ..errors import AudioError
from .arrays import FloatArray
from .audio.channels import Mixed, warn_of_audio
from .audio.files import open_audio
from .audio.recording import Audio
from .audio.samples import mix_block
from .decode import Phone
from .decoding.config import Decoding
from .stream import E, Stream

if TYPE_CHECKING:
    from .recognizer import Recognizer


def transcribe(
    path: str | PathLike[str],
    recognizer: "Recognizer | None" = None,
    *,
    channel: int | None = None,
    decoder: Decoding | None = None,
) -> list[Phone]:
    """All phones of an audio file, of any format that `phonestream transcribe` reads, at any sample rate.

    Examples:
        >>> for phone in phonestream.transcribe("speech.flac"):
        ...     print(phone.symbol, phone.start, phone.end, phone.confidence)

    Args:
        path: of the file; `-` is standard input.
        recognizer: hears it; the bundled model by default, which is opened by the first call and kept.
        channel: the one to be heard, counted from 1; None: their mean.
        decoder: as for `Recognizer.stream`.

    Raises:
        AudioError, ConfigError, ModelError: as for `Recognizer.transcribe_file`.
    """
    return (recognizer or _default()).transcribe_file(path, channel=channel, decoder=decoder)


@cache
def _default() -> "Recognizer":
    from .recognizer import Recognizer

    return Recognizer()


def transcribe_with(stream: Stream, path: str | PathLike[str], channel: int | None) -> list[Phone]:
    """`Recognizer.transcribe_file`, with a stream that has heard nothing."""
    name, phones = fspath(path), []
    opened = open_audio(name)
    with closing(Mixed(opened, "hear one alone: channel=1") if channel is None else opened) as audio:
        if channel is not None and not 1 <= channel <= audio.channels:
            raise AudioError(f"{name}: channel={channel!r}: expected a number from 1 to {audio.channels}")
        for block in audio.blocks():
            phones += accept_block(stream, audio, block if channel is None else block[:, [channel - 1]])
        warn_of_audio(*(f"{name}: {remark}" for remark in audio.remarks))
    return phones + stream.finish()


def accept_block(stream: Stream[E], audio: Audio, block: FloatArray) -> list[E]:
    """What a stream gives for the next block `[n, channels]` of a recording.

    Raises:
        AudioError: it cannot be heard; the message says of which recording it is, and where.
    """
    try:
        return stream.accept(mix_block(block), audio.sample_rate)
    except AudioError as error:
        raise AudioError(f"{audio.path}: from {stream.seconds:.2f} s on: {error}") from None
