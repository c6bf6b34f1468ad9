"""One recording and its transcript as `phonestream align` takes them: read, transcribed, aligned."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ..errors import AudioError, DataError, reason_of
from ..text_file import STANDARD_INPUT, decode, read_standard_input, read_whole
from .output import native_remarks_off

if TYPE_CHECKING:
    from ..asr.align.alignment import Alignment
    from ..asr.align.posteriors import Posteriors
    from ..asr.lexicon.lexicon import Lexicon
    from ..formats.textgrid_reader import Tier
    from ..streaming.arrays import FloatArray
    from ..streaming.audio.recording import Lost
    from ..streaming.recognizer import Recognizer

TEXTGRID = ".textgrid"


class Said(NamedTuple):
    """A part of a transcript."""

    text: str
    start: float = 0.0
    """Seconds from the start of the recording."""
    end: float | None = None
    """None: the recording's."""


class Speaker(NamedTuple):
    """What one of them says."""

    name: str
    said: Sequence[Said]


class Computed(NamedTuple):
    """What the model makes of a recording."""

    posteriors: "Posteriors"
    remarks: tuple[str, ...]
    """What a person should know of the recording, in lines that name it."""
    lost: tuple["Lost", ...] = ()
    """What is missing within it."""


def read_transcript(path: str, tier: str | None = None) -> Speaker:
    """The transcript in a file or, for -, on standard input: of a TextGrid each interval of its tier with text.

    Args:
        tier: the name of that tier; None: the only one with text.

    Raises:
        DataError: it cannot be read, or is not text in UTF-8, or a TextGrid has no such tier or several.
    """
    from ..batch.entries import SUFFIXES

    data = _read(path)
    if path.lower().endswith(TEXTGRID):
        return _speaker(path, _tiers(path, data), tier)
    if tier is not None:
        raise DataError(f"{path}: is no TextGrid, and has no tier {tier!r}; leave out --tier")
    try:
        return Speaker("", [Said(decode(path, data, "transcript"))])
    except DataError:
        if os.path.splitext(path)[1].lower() in SUFFIXES:
            raise DataError(
                f"{path}: is a recording, and its place is that of the transcript of the one before; "
                "align recordings one at a time, or the folder that they are in"
            ) from None
        raise


def _read(path: str) -> bytes:
    try:
        if path == STANDARD_INPUT:
            return read_standard_input()
        with open(path, "rb") as file:
            return read_whole(file)
    except FileNotFoundError:
        raise DataError(f"{path}: no such transcript; give a file, or words with --text") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = reason_of(error)
        raise DataError(f"{path}: the transcript cannot be read: {reason}; give a text file") from None


def read_speakers(path: str) -> list[Speaker]:
    """What is said in each channel, or by each speaker: the tiers of a TextGrid that have text, in order.

    Raises:
        DataError: it is none, or cannot be read, or no tier has text.
    """
    if not path.lower().endswith(TEXTGRID):
        raise DataError(
            f"{path}: is no TextGrid; --channel tiers needs one, with a tier of utterances a channel or a speaker"
        )
    tiers = _tiers(path, _read(path))
    if not tiers:
        raise DataError(f"{path}: has no tiers of intervals with text; write what is said into one")
    return [_said(tier) for tier in tiers]


def _tiers(path: str, data: bytes) -> "list[Tier]":
    """The tiers of a TextGrid that have text."""
    from ..formats.textgrid_reader import read_tiers

    return [tier for tier in read_tiers(path, data) if tier.intervals]


def _said(tier: "Tier") -> Speaker:
    return Speaker(tier.name, [Said(text, start, end) for start, end, text in tier.intervals])


def _speaker(path: str, tiers: "list[Tier]", name: str | None) -> Speaker:
    """The tier of that name, or the only one."""
    found = [tier for tier in tiers if name in (None, tier.name)]
    if len(found) == 1:
        return _said(found[0])
    names = f" ({', '.join(repr(tier.name) for tier in tiers)})" if tiers else ""
    if name is not None:
        raise DataError(
            f"{path}: has {len(found) or 'no'} tiers {name!r} with text{names}; name one with --tier"
        )
    raise DataError(
        f"{path}: has {len(tiers) or 'no'} tiers of intervals with text{names}; name that of the utterances: --tier, "
        "or say that each is of a channel or a speaker: --channel tiers"
    )


def compute(
    recognizer: "Recognizer",
    file: str,
    time_shifts: int,
    channel: int | None = None,
    progress: Callable[[float, float | None], object] = lambda done, total: None,
    remedy: str = "align one alone: --channel 1",
) -> Computed:
    """Posteriors of a recording.

    Args:
        channel: the one to align, counted from 1; None for all of them mixed.
        progress: called with the seconds that are done and how many there are, if that is known.
        remedy: for channels that cancel each other when they are mixed.

    Raises:
        AudioError: it cannot be used; the message begins with its name.
    """
    from ..asr.align.posteriors import compute_posteriors
    from ..streaming.audio.channels import Mixed
    from ..streaming.audio.files import open_audio
    from ..streaming.audio.samples import mix_block

    with native_remarks_off():
        opened = open_audio(file)
    audio = Mixed(opened, remedy) if channel is None else opened
    with closing(audio):
        done = 0
        if channel is not None and channel > audio.channels:
            raise AudioError(f"{file}: channel {channel} was asked for, and there are {audio.channels}")

        def blocks() -> "Iterator[FloatArray]":
            nonlocal done
            for block in audio.blocks():
                yield mix_block(block) if channel is None else block[:, channel - 1]
                done += len(block)
                progress(done / audio.sample_rate, audio.seconds)

        try:
            found = compute_posteriors(recognizer, blocks(), audio.sample_rate, time_shifts)
            remarks = tuple(f"{file}: {remark}" for remark in audio.remarks)
            return Computed(found, remarks, audio.lost)
        except AudioError as error:
            if str(error).startswith(f"{file}: "):
                raise
            raise AudioError(f"{file}: from {done / audio.sample_rate:.2f} s on: {error}") from None


def align_said(
    recognizer: "Recognizer",
    said: Sequence[Said],
    posteriors: Callable[[], Computed],
    *,
    names: tuple[str, str],
    phonemes: bool = False,
    lexicon: "Lexicon | None" = None,
    refuse: bool = True,
) -> "Alignment":
    """Align a transcript with a recording, of which posteriors are computed once all of the transcript is read.

    Words have their place in the parts' texts, one line behind the other.

    Args:
        names: of the transcript and of the recording, for errors.
        refuse: whether a transcript that does not fit is an error.

    Raises:
        AudioError, DataError: as `aligner.fit` and `aligner.spoken`; the message begins with a name.
    """
    from ..asr.align.aligner import fit, spoken
    from ..asr.align.alignment import lines_of
    from ..asr.align.utterances import Utterance, fit_utterances

    parts, offset = [], 0
    try:
        for part in said:
            words = spoken(part.text, recognizer.phones, phonemes=phonemes, lexicon=lexicon)
            parts.append(
                [word._replace(place=(word.place[0] + offset, word.place[1] + offset)) for word in words]
            )
            offset += len(part.text) + 1
    except DataError as error:
        raise DataError(f"{names[0]}: {error}") from None
    computed, _, lost = posteriors()
    try:
        if said[0].end is None:
            found = fit(recognizer, computed, parts[0], refuse=refuse)
        else:
            timed = [
                Utterance(part.start, computed.seconds if part.end is None else part.end, words)
                for part, words in zip(said, parts, strict=True)
            ]
            found = fit_utterances(recognizer, computed, timed, refuse=refuse)
    except DataError as error:
        raise DataError(f"{names[1]}: {error}") from None
    lines = lines_of("\n".join(part.text for part in said), found.words)
    return replace(found, lines=lines, lost=lost)
