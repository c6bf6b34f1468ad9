"""Forced alignment: where in a recording each word and phone of its transcript is, and how well it was said.

`posteriors` runs the model on the recording, `spikes` finds the best path of the transcript's pronunciations through
its rows; `times` turns it into times and `score` into scores.

Memory is that of the rows, 60 MB for an hour of audio, of a copy or two of them, and of the search, which
`viterbi` bounds. The audio itself need not be in memory.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from ...errors import DataError
from ...streaming.decode import Phone
from ...streaming.recognizer import Recognizer
from ..lexicon.lexicon import Lexicon, bundled
from . import score as align_score
from . import times as align_times
from . import transcript as align_transcript
from .alignment import AlignedPhone, AlignedWord, Alignment, Extra, lines_of
from .anchors import best_path_phones
from .graph import Costs
from .passages import foreign_words
from .posteriors import TIME_SHIFTS, Posteriors, compute_posteriors
from .pronunciation import most_likely_inserted, most_likely_instead, probability_right
from .spikes import Spikes, find_spikes
from .transcript import Spoken

COSTS = Costs(skip_word=2.0, skip_phone=3.0, skip_least=9.0, filler=6.0, dwell=0.1)
# An alignment's score below which audio and transcript are not of each other; see docs/alignment.md
MISMATCH = 0.3
EXTRA_PHONES = 4  # in a gap between words, from which on it is called speech that is not in the transcript
_SHOWN = 12  # phones or words in a message


def align(
    recognizer: Recognizer,
    samples: ArrayLike,
    sample_rate: int,
    transcript: str,
    *,
    phonemes: bool = False,
    lexicon: Lexicon | None = None,
    time_shifts: int = TIME_SHIFTS,
    refuse: bool = True,
) -> Alignment:
    """Find the words and phones of `transcript` in a recording.

    Examples:
        >>> alignment = align(recognizer, samples, 16_000, "the sea unbroken all round")
        >>> for word in alignment.words:
        ...     print(word.text, word.start, word.end, word.score)

    Args:
        recognizer: the model.
        samples: the recording, as for `Stream.accept`.
        sample_rate: in Hz.
        transcript: English text; with `phonemes` phones with spaces between them.
        phonemes: the transcript is phones.
        lexicon: of your own; by default the bundled one.
        time_shifts: number of time-shifted copies of the recording that are decoded: 4 take 4 times as long as 1, and
            give slightly better times.
        refuse: a transcript that is not of this recording is an error; otherwise, as for a learner's, it has a low
            score, and words that were not found.

    Raises:
        AudioError: the samples cannot be used.
        DataError: the transcript is empty or has no word that can be read, has a phone that there is none of, is
            too long for the audio, or is not of this recording.
        ConfigError: `time_shifts` is not from 1 to 8.
    """
    words = spoken(transcript, recognizer.phones, phonemes=phonemes, lexicon=lexicon)
    posteriors = compute_posteriors(recognizer, [samples], sample_rate, time_shifts)
    found = fit(recognizer, posteriors, words, refuse=refuse)
    return replace(found, lines=lines_of(transcript, found.words))


def spoken(
    transcript: str, phones: Sequence[str], *, phonemes: bool = False, lexicon: Lexicon | None = None
) -> list[Spoken]:
    """The words of a transcript with their pronunciations, of which the model must know all `phones`.

    Raises:
        DataError: as `align`.
    """
    if phonemes:
        return align_transcript.phones_of(transcript, phones)
    words = align_transcript.words_of(transcript, lexicon or bundled())
    for word in words:
        for phone in {phone for variant in word.variants for phone in variant}:
            if phone not in phones:
                raise DataError(
                    f"the model has no phone {phone}, which is in {word.text!r}: take another model, or a lexicon "
                    f"of its phones ({' '.join(phones)})"
                )
    return words


def fit(
    recognizer: Recognizer, posteriors: Posteriors, words: Sequence[Spoken], *, refuse: bool = True
) -> Alignment:
    """Align `words` with the posteriors of a recording.

    Raises:
        DataError: with `refuse`, they are too many for the audio, or not what was said; without it, no audio.
    """
    meta = recognizer.metadata
    label_of = {symbol: index for index, symbol in enumerate(meta.decoder.symbols) if index != meta.blank}
    readable = [index for index, word in enumerate(words) if word.variants]
    unread = {bisect_left(readable, index) for index, word in enumerate(words) if not word.variants}
    variants = [[[label_of[phone] for phone in variant] for variant in words[at].variants] for at in readable]
    least = sum(min(map(len, ways)) for ways in variants)
    too_long = least * meta.row_seconds > posteriors.seconds + meta.row_seconds
    if (too_long and refuse) or not len(posteriors.rows):
        raise DataError(
            f"the transcript is too long for the audio: {least} phones in {posteriors.seconds:.2f} s, in which at most "
            f"{int(posteriors.seconds / meta.row_seconds)} fit; give the transcript of this recording"
        )
    heard = best_path_phones(posteriors.rows, meta.blank)
    found = find_spikes(posteriors.rows, variants, heard, blank=meta.blank, costs=COSTS, unread=unread)
    alignment = _alignment(recognizer, posteriors, words, readable, found)
    if not refuse:
        return alignment
    if alignment.score < MISMATCH:
        raise DataError(_mismatch(alignment, posteriors.phones))
    foreign = foreign_words([phone.score for phone in alignment.phones], found.words.tolist())
    if not foreign:
        return alignment
    return _alignment(recognizer, posteriors, words, readable, found.without(foreign))


def _alignment(
    recognizer: Recognizer,
    posteriors: Posteriors,
    words: Sequence[Spoken],
    readable: Sequence[int],
    spikes: Spikes,
) -> Alignment:
    meta = recognizer.metadata
    labels, runs = spikes.labels, spikes.runs
    owners = [readable[word] for word in spikes.words]
    symbols, blank, temperature = meta.decoder.symbols, meta.blank, meta.temperature
    reach = max(1, round(align_score.REACH / meta.row_seconds))
    shares = align_score.said(posteriors.rows, runs, blank=blank, reach=reach, temperature=temperature)
    between = align_score.inserted(
        posteriors.rows, labels, runs, blank=blank, reach=reach, temperature=temperature
    )
    scores = shares[np.arange(len(labels)), labels]
    centres = align_times.centres(
        posteriors.fine, posteriors.fine_times, labels, runs, posteriors.time_shifts
    )
    spans = align_times.spans(
        centres, [one == behind for one, behind in pairwise(owners)], posteriors.seconds
    )
    phones = tuple(
        AlignedPhone(symbols[label], span.start, span.end, float(score), owner, float(right), instead, more)
        for label, span, score, owner, right, instead, more in zip(
            labels,
            spans,
            scores,
            owners,
            probability_right(scores),
            most_likely_instead(shares, labels, symbols, blank),
            most_likely_inserted(between, symbols, blank),
            strict=True,
        )
    )
    by_word = {owner: tuple(members) for owner, members in groupby(phones, key=lambda phone: phone.word)}
    aligned = _words(words, by_word, posteriors)
    expected = sum(len(by_word.get(index, ())) or min(map(len, words[index].variants)) for index in readable)
    return Alignment(
        words=aligned,
        phones=phones,
        score=sum(phone.score for phone in phones) / expected,
        seconds=posteriors.seconds,
        extra=_extra(aligned, posteriors),
    )


def _words(
    words: Sequence[Spoken], by_word: dict[int, tuple[AlignedPhone, ...]], posteriors: Posteriors
) -> tuple[AlignedWord, ...]:
    aligned = list[AlignedWord]()
    before = 0.0  # when the last word that was found ended
    for is_found, run in groupby(range(len(words)), key=by_word.__contains__):
        members = list(run)
        if not is_found:
            behind = members[-1] + 1
            following = by_word[behind][0].start if behind < len(words) else posteriors.seconds
            aligned += _not_found([words[index] for index in members], before, following, posteriors)
            continue
        for index in members:
            phones, word = by_word[index], words[index]
            before = phones[-1].end
            score = sum(phone.score for phone in phones) / len(phones)
            aligned.append(aligned_word(word, phones[0].start, before, score, phones))
    return tuple(aligned)


def aligned_word(
    word: Spoken, start: float, end: float, score: float = 0.0, phones: tuple[AlignedPhone, ...] = ()
) -> AlignedWord:
    """A word of the transcript between `start` and `end`, seconds; without `phones` it is not found."""
    return AlignedWord(
        word.text,
        start,
        end,
        score,
        word.known,
        bool(phones),
        phones,
        word.place,
        word.attached,
        min((phone.pronunciation for phone in phones), default=0.0),
        word.problem,
    )


def _not_found(
    words: Sequence[Spoken], start: float, end: float, posteriors: Posteriors
) -> list[AlignedWord]:
    """The words between two that were found. Those that cannot be read share the speech there by their lengths."""
    unread = sum(len(word.text) for word in words if word.problem)
    heard = decoded_between(posteriors, start, end) if unread else ()
    aligned = [aligned_word(word, start, end) for word in words]
    if heard:
        first, last = max(start, heard[0].start), min(end, heard[-1].end)
        done = 0
        for index, word in enumerate(words):
            if word.problem:
                begin, done = done, done + len(word.text)
                here, there = (first + (last - first) * place / unread for place in (begin, done))
                aligned[index] = aligned[index]._replace(start=here, end=there, found=True)
    return aligned


def _extra(words: Sequence[AlignedWord], posteriors: Posteriors) -> tuple[Extra, ...]:
    """Gaps between the words that were found in which several phones are decoded."""
    found = [word for word in words if word.found]
    edges = [0.0, *(time for word in found for time in (word.start, word.end)), posteriors.seconds]
    gaps = zip(edges[::2], edges[1::2], strict=True)
    return tuple(
        Extra(start, end, phones)
        for start, end in gaps
        if len(phones := decoded_between(posteriors, start, end)) >= EXTRA_PHONES
    )


def decoded_between(posteriors: Posteriors, start: float, end: float) -> tuple[Phone, ...]:
    """The decoded phones whose spikes are in a stretch of time, in seconds."""
    first, last = (
        bisect_left(posteriors.phones, time, key=lambda phone: cast(float, phone.peak))
        for time in (start, end)
    )
    return posteriors.phones[first:last]


def _mismatch(alignment: Alignment, decoded: Sequence[Phone]) -> str:
    """What to say of a transcript that is not the recording's, in one line."""
    phones = " ".join(phone.symbol for phone in decoded[:_SHOWN]) + (" ..." if len(decoded) > _SHOWN else "")
    bad = [word for word in alignment.words if word.score < MISMATCH]
    shown = ", ".join(
        f"{word.text!r} at {word.start:.2f} s" if word.found else f"{word.text!r} nowhere"
        for word in bad[:_SHOWN]
    )
    more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    return (
        f"audio and transcript do not match: score {alignment.score:.2f}, below {MISMATCH:g}; "
        f"heard {phones or 'no phones'} in {alignment.seconds:.2f} s; {len(bad)} of {len(alignment.words)} words "
        f"do not fit ({shown}{more}); give the transcript of this recording"
    )
