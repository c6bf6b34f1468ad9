"""Alignment of utterances whose times are known: each is looked for in its own part of the recording."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple, cast

import numpy as np

from ...errors import DataError
from ...streaming.decode import Phone
from ...streaming.recognizer import Recognizer
from .aligner import aligned_word, fit
from .alignment import AlignedWord, Alignment
from .posteriors import Posteriors
from .transcript import Spoken


class Utterance(NamedTuple):
    """What is said in a part of a recording."""

    start: float
    """Seconds from the start of the recording."""
    end: float
    words: Sequence[Spoken]


def fit_utterances(
    recognizer: Recognizer, posteriors: Posteriors, utterances: Sequence[Utterance], *, refuse: bool = True
) -> Alignment:
    """Align each of `utterances`, in order and not overlapping, within its times.

    The words of one that does not fit are not found, and the others are as without it.

    Raises:
        DataError: as for `fit`, if none of them fits; what is wrong with the first.
    """
    words, phones, extra = list[AlignedWord](), [], []
    problem: DataError | None = None
    scores, expected = 0.0, 0
    for start, end, spoken in utterances:
        count = sum(min(map(len, word.variants)) for word in spoken if word.variants)
        expected += count
        try:
            found = fit(recognizer, between(recognizer, posteriors, start, end), spoken, refuse=refuse)
        except DataError as error:
            problem = problem or error
            words += [aligned_word(word, start, end) for word in spoken]
            continue
        scores += found.score * count
        first = len(words)
        moved = [
            phone._replace(start=phone.start + start, end=phone.end + start, word=phone.word + first)
            for phone in found.phones
        ]
        of_word = {owner: tuple(members) for owner, members in groupby(moved, key=lambda phone: phone.word)}
        words += [
            word._replace(
                start=word.start + start, end=word.end + start, phones=of_word.get(first + index, ())
            )
            for index, word in enumerate(found.words)
        ]
        phones += moved
        extra += [
            part._replace(
                start=part.start + start,
                end=part.end + start,
                phones=tuple(_moved(phone, start) for phone in part.phones),
            )
            for part in found.extra
        ]
    if problem is not None and not phones:
        raise problem
    return Alignment(tuple(words), tuple(phones), scores / max(1, expected), posteriors.seconds, tuple(extra))


def between(recognizer: Recognizer, posteriors: Posteriors, start: float, end: float) -> Posteriors:
    """The posteriors of a part of the recording, in seconds, as if it were all; times count from its start."""
    meta, shifts = recognizer.metadata, posteriors.time_shifts
    late = meta.time_offset_seconds  # of spikes, so that a part's last phones are in rows behind its end
    first = max(0, math.floor((start + late) / meta.row_seconds))
    last = max(first + 1, math.ceil((end + late) / meta.row_seconds))
    end = min(end, posteriors.seconds)
    return replace(
        posteriors,
        rows=posteriors.rows[first:last],
        fine=posteriors.fine[first * shifts : last * shifts],
        fine_times=np.asarray(posteriors.fine_times[first * shifts : last * shifts] - start),
        seconds=max(0.0, end - start),
        phones=tuple(
            _moved(phone, -start) for phone in posteriors.phones if start <= cast(float, phone.peak) < end
        ),
    )


def _moved(phone: Phone, seconds: float) -> Phone:
    """A decoded phone so much later."""
    return phone._replace(
        start=phone.start + seconds, end=phone.end + seconds, peak=cast(float, phone.peak) + seconds
    )
