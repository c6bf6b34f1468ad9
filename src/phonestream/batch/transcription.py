"""A recording through the model, a block at a time and every channel in a stream of its own."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from ..errors import AudioError, PhonestreamError
from ..native_output import native_remarks_off
from ..streaming.arrays import FloatArray
from ..streaming.audio.channels import MixLevel
from ..streaming.audio.files import open_audio
from ..streaming.audio.recording import Audio, Lost, lost_within, unexpected
from ..streaming.audio.samples import MAX_CHANNELS
from ..streaming.decode import Phone
from ..streaming.decoding.decoder import Hypothesis
from ..streaming.recognizer import Recognizer
from ..streaming.recording import accept_block
from ..streaming.spotting.keywords import Keywords
from ..streaming.spotting.spotter import Spotted
from ..streaming.stream import Stream
from .entries import Source
from .phone_array import PhoneArray
from .raw import RawInput
from .remote import fetch_audio, is_url

MIX, EACH = "mix", "each"
TIERS = "tiers"  # as each, in one file

OnRows = Callable[[int | None, FloatArray], object]
"""Called with a channel, None where they are mixed, and the next rows of log-probabilities."""


class ChannelResult(NamedTuple):
    """The transcript of a recording, or of one channel of it."""

    channel: int | None  # counted from 1; None where channels are mixed
    seconds: float
    phones: PhoneArray
    alternatives: tuple[Hypothesis, ...] = ()  # whole transcripts, the best first
    spotted: tuple[Spotted, ...] = ()  # in the order in which they end, where there were keywords
    remarks: tuple[str, ...] = ()  # warnings about the recording, in lines that do not name it
    lost: tuple[Lost, ...] = ()  # what is missing within it, on its own clock


def transcribe_source(
    source: Source,
    recognizer: Recognizer,
    *,
    channel: str | int = MIX,
    n_best: int = 1,
    keywords: Keywords | None = None,
    on_rows: OnRows | None = None,
    progress: Callable[[float, float | None], object] = lambda *_: None,
) -> list[ChannelResult]:
    """Transcribe one recording alone, so that its result depends on nothing else.

    Args:
        source: the recording, or the part of one.
        recognizer: transcribes it.
        channel: `mix`, `each` or `tiers`, or the number of one, counted from 1.
        n_best: how many transcripts at most, if more than 1, from a recogniser that decodes by beam search.
        keywords: what is spotted, too.
        on_rows: where log-probabilities go.
        progress: called with the seconds that are decoded, and how many there are if that is known.

    Returns:
        One result for each channel, in order; one alone for `mix` and for a number.

    Raises:
        AudioError: the recording cannot be used; the message begins with its manifest's row, if it has one, and
            its name.
    """
    with opened(source) as audio:
        chosen = choose_channels(source, audio, channel)
        columns = None if source.columns is None else list(source.columns)
        streams = [recognizer.stream(posteriors=on_rows is not None, keywords=keywords) for _ in chosen]
        phones = [PhoneArray() for _ in chosen]
        spotted: list[list[Spotted]] = [[] for _ in chosen]
        length = source.seconds if source.seconds is not None else audio.seconds

        def pass_on_rows(index: int) -> None:
            if on_rows is not None and len(rows := streams[index].take_posteriors()):
                on_rows(chosen[index][0], rows)

        def keep(index: int, events: Sequence[Phone | Spotted]) -> None:
            phones[index].extend(event for event in events if isinstance(event, Phone))
            spotted[index] += (event for event in events if isinstance(event, Spotted))

        level = MixLevel()
        for block in source_blocks(source, audio):
            if channel == MIX:
                level = level.add(block if columns is None else block[:, columns])
            for index, (_, own) in enumerate(chosen):
                samples = block if own is None else block[:, own]
                keep(index, accept_block(streams[index], audio, samples))
                pass_on_rows(index)
            progress(streams[0].seconds, length)
        alternatives = []
        for index, stream in enumerate(streams):
            last = stream.finish()
            alternatives.append(_alternatives(stream, phones[index], n_best))
            keep(index, last)
            pass_on_rows(index)
        if streams[0].seconds == 0:
            raise AudioError(f"{audio.path}: holds no samples from {source.start:.2f} s on")
        _check_length(source, audio, streams[0].seconds)
        remarks = (*audio.remarks, *([level.remark] if level.remark is not None else []))
        lost = source_lost(source, audio)
        return [
            ChannelResult(number, stream.seconds, own, ways, tuple(found), remarks, lost)
            for (number, _), stream, own, ways, found in zip(
                chosen, streams, phones, alternatives, spotted, strict=True
            )
        ]


@contextmanager
def opened(source: Source) -> Iterator[Audio]:
    """The recording, open.

    Raises:
        AudioError: it cannot be opened, or as `errors_named`.
    """
    with errors_named(source):
        with native_remarks_off():
            audio = _open(source)
        with closing(audio):
            yield audio


@contextmanager
def errors_named(source: Source) -> Iterator[None]:
    """Inside, whatever is wrong with a recording is an AudioError whose message names it and its place.

    Raises:
        AudioError: what is done inside raises it, or anything but errors of Phonestream and of the system.
    """
    try:
        yield
    except AudioError as error:
        raise AudioError(f"{source.where}{error}") from None
    except (PhonestreamError, OSError):  # of the model or a transcript, and of what is written meanwhile
        raise
    except Exception as error:  # whatever it is, the other recordings go on
        raise AudioError(f"{source.where}{unexpected(source.path, error)}") from error


def _open(source: Source) -> Audio:
    if source.raw is not None:
        return RawInput(source.raw)
    if is_url(source.path):
        return open_audio(source.path, fetch_audio(source.path))
    return open_audio(source.path)


def _alternatives(stream: Stream[Any], final: PhoneArray, n_best: int) -> tuple[Hypothesis, ...]:
    """The ways to read a finished stream, `final` being what was certain before its end."""
    if n_best == 1:
        return ()
    return tuple(way._replace(phones=(*final, *way.phones)) for way in stream.n_best(n_best))


def choose_channels(
    source: Source, audio: Audio, channel: str | int
) -> list[tuple[int | None, list[int] | None]]:
    """For each result the number of its channel, and the columns of the file that it is made from.

    Raises:
        AudioError: there is no such channel, or there are too many.
    """
    columns = None if source.columns is None else list(source.columns)
    if columns is not None and max(columns) >= audio.channels:
        raise AudioError(
            f"{audio.path}: has {_channels(audio.channels)}, and the row wants number {max(columns) + 1}"
        )
    if channel == MIX:
        return [(None, columns)]
    among: Sequence[int] = columns if columns is not None else range(audio.channels)
    if channel in (EACH, TIERS):
        if len(among) > MAX_CHANNELS:
            raise AudioError(f"{audio.path}: has {len(among)} channels; expected at most {MAX_CHANNELS}")
        return [(number, [column]) for number, column in enumerate(among, start=1)]
    number = int(channel)
    if number > len(among):
        raise AudioError(f"{audio.path}: has {_channels(len(among))}, and number {number} was asked for")
    return [(number, [among[number - 1]])]


def source_blocks(source: Source, audio: Audio) -> Iterator[FloatArray]:
    """The blocks that are meant."""
    if source.start == 0 and source.seconds is None:
        return audio.blocks()
    first = round(source.start * audio.sample_rate)
    count = None if source.seconds is None else round(source.seconds * audio.sample_rate)
    return audio.blocks(first, None if count is None else first + count)


def source_lost(source: Source, audio: Audio) -> tuple[Lost, ...]:
    """What is missing within what is meant, in seconds from its beginning; known once it has been read."""
    stop = math.inf if source.seconds is None else source.start + source.seconds
    return lost_within(audio.lost, source.start, stop)


def _check_length(source: Source, audio: Audio, seconds: float) -> None:
    """A row's part must lie within the recording, give or take a sample that rounding makes."""
    if source.seconds is not None and seconds + 2 / audio.sample_rate < source.seconds:
        raise AudioError(
            f"{audio.path}: ends at {source.start + seconds:.2f} s, and the row wants "
            f"{source.start:.2f} to {source.start + source.seconds:.2f} s; was it changed?"
        )


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"
