"""Pauses put between the words of a training recording, so that words are also learnt as they sound alone.

Of the recordings that corpora have hardly one is of a single word, and a model that has only read sentences takes the
words before into account. A command is a word in silence. Where a word begins and ends is known from a teacher's rows,
along which the transcript is aligned; the pause is put where the recording is quietest nearby. A recording does not
grow much by that: words at its beginning or end are left out for the pauses.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ...streaming.audio.samples import SAMPLE_RATE
from ..align.graph import PLAIN
from ..align.spikes import find_spikes
from ..lexicon.phones import BLANK
from .channel import Samples
from .config import AugmentConfig

BETWEEN = 0.5  # share of the boundaries of words that get a pause
FADE = SAMPLE_RATE // 200  # samples, 5 ms, at either side of a pause
NEARBY = 3  # rows about a boundary within which the quietest is looked for
LEAST = 1e-4  # probability that a row gives every label at least
GROWTH = 1.1  # a recording with pauses is at most so much longer


class Spaced(NamedTuple):
    """A recording with pauses."""

    samples: Samples
    labels: tuple[int, ...]
    rows: NDArray[np.float32]  # the teacher's, `[rows, phones + 1]`


def put_pauses(
    samples: Samples,
    words_of: Callable[[], Sequence[Sequence[int]]],
    rows: NDArray[np.float32],
    row_seconds: float,
    config: AugmentConfig,
    rng: Generator,
) -> Spaced | None:
    """A recording with pauses of `config.pause_seconds` between its words, or None: it is not its turn.

    Args:
        samples: `[n]` at 16 kHz.
        words_of: tells the CTC labels of each word's phones; where there are fewer than two it is never its turn.
        rows: a teacher's probabilities of them, `[rows, phones + 1]`, each row of `row_seconds`.
    """
    if config.pause_probability == 0 or rng.random() >= config.pause_probability:
        return None
    words = words_of()
    if len(words) < 2:
        return None
    places = boundaries(samples, words, rows, row_seconds)
    if not places:
        return None
    hop = round(row_seconds * SAMPLE_RATE)
    low, high = config.pause_seconds
    paused = rng.random(len(places)) < BETWEEN
    pauses = np.rint(rng.uniform(low, high, len(places)) / row_seconds).astype(np.int64) * paused
    at = np.array([0, *places, len(rows)])
    first, last = _fitting(np.diff(at), pauses, int(GROWTH * len(rows)), from_end=rng.random() < 0.5)
    sound: list[Samples] = []
    taught: list[NDArray[np.float32]] = []
    blank = np.zeros((1, rows.shape[1]), np.float32)
    blank[0, BLANK] = 1.0
    begin = first
    for word in range(first, last):
        pause = int(pauses[word]) if word < last - 1 else 0
        if pause or word == last - 1:
            end = len(samples) if word == len(words) - 1 else int(at[word + 1]) * hop
            sound += [faded(samples[int(at[begin]) * hop : end]), np.zeros(pause * hop, np.float32)]
            taught += [rows[at[begin] : at[word + 1]], np.repeat(blank, pause, axis=0)]
            begin = word + 1
    labels = tuple(label for word in words[first:last] for label in word)
    return Spaced(np.concatenate(sound), labels, np.concatenate(taught))


def boundaries(
    samples: Samples, words: Sequence[Sequence[int]], rows: NDArray[np.float32], row_seconds: float
) -> list[int]:
    """The row with which each word but the first begins, ascending: `len(words) - 1`, or none: the rows are too few.

    Between the spikes of two words it is the quietest near the middle.
    """
    log_probs = np.log(np.maximum(rows, LEAST))
    spikes = find_spikes(log_probs, [[word] for word in words], [], blank=BLANK, costs=PLAIN)
    begins = {int(word): run[0] for word, run in reversed(list(zip(spikes.words, spikes.runs, strict=True)))}
    ends = {int(word): run[1] for word, run in zip(spikes.words, spikes.runs, strict=True)}
    if len(begins) < len(words):
        return []
    loudness = _loudness(samples, len(rows), round(row_seconds * SAMPLE_RATE))
    places = [0]
    for word in range(1, len(words)):
        low, high = ends[word - 1], begins[word]
        middle = (low + high) // 2
        nearby = range(max(low, middle - NEARBY, places[-1]), min(high, middle + NEARBY) + 1)
        places.append(min(nearby, key=lambda row: loudness[row], default=max(middle, places[-1])))
    return places[1:]


def _loudness(samples: Samples, rows: int, hop: int) -> list[float]:
    """Energy about the beginning of each row, half a row to either side: `rows + 1`."""
    padded = np.zeros((rows + 1) * hop)
    kept = min(len(samples), rows * hop)
    padded[hop // 2 : hop // 2 + kept] = samples[:kept]
    energy: list[float] = np.square(padded).reshape(rows + 1, hop).sum(axis=1).tolist()
    return energy


def _fitting(
    lengths: NDArray[np.int64], pauses: NDArray[np.int64], most: int, *, from_end: bool
) -> tuple[int, int]:
    """Words `[first, behind last)` that fit into `most` rows with the pauses between them, at least one.

    Args:
        lengths: rows of each word.
        pauses: rows of the pause behind each word but the last.
        from_end: leave words out at the beginning instead of the end.
    """
    spaced = lengths.copy()
    spaced[:-1] += pauses
    if from_end:
        fitting = int((np.cumsum(spaced[::-1]) <= most).sum())
        return len(lengths) - max(1, fitting), len(lengths)
    return 0, max(1, int((np.cumsum(spaced) <= most).sum()))


def faded(samples: Samples) -> Samples:
    """A copy that comes out of silence and ends in it."""
    faded = samples.copy()
    count = min(FADE, len(faded) // 2)
    ramp = np.linspace(0.0, 1.0, count, endpoint=False, dtype=np.float32)
    faded[:count] *= ramp
    faded[len(faded) - count :] *= ramp[::-1]
    return faded
