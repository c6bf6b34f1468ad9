"""Single words cut out of training recordings: what a command sounds like, of which corpora have hardly one.

Where a word begins and ends is known as for `pauses`. What is spoken too fast to be told apart alone is left out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ...streaming.audio.samples import SAMPLE_RATE
from ..lexicon.phones import BLANK
from .augment import Noises, at_snr
from .channel import Samples
from .config import TrainConfig
from .pauses import boundaries, faded

SECONDS = (
    0.6  # of a recording give one word at most, so that a step is no longer than one of whole recordings
)
SHORTEST, LONGEST = 0.18, 0.85  # seconds of a word
PHONE_SECONDS = 0.08  # of a word's phone on average, at least
AROUND = (0.1, 0.4)  # seconds of silence before a word and after it
NOISY = 0.7  # share of the words that have noise about them
SNR_DB = (10.0, 45.0)  # of that noise


class SingleWord(NamedTuple):
    """A word and the silence around it."""

    samples: Samples
    labels: tuple[int, ...]
    rows: NDArray[np.float32]  # the teacher's, `[rows, phones + 1]`


def of_single_words(config: TrainConfig, step: int) -> bool:
    """Whether a step is one of single words: in all processes the same."""
    draw = np.random.default_rng([config.seed, step, 5]).random()
    return bool(draw < config.word_steps)


def single_words(
    samples: Samples,
    words: Sequence[Sequence[int]],
    rows: NDArray[np.float32],
    row_seconds: float,
    noises: Noises,
    rng: Generator,
) -> list[SingleWord]:
    """Some words of a recording, in random order; none where the rows do not fit the transcript.

    The first and the last are never among them: they may hold silence of any length.

    Args:
        samples: `[n]` at 16 kHz.
        words: CTC labels of each word's phones.
        rows: a teacher's probabilities of them, `[rows, phones + 1]`, each row of `row_seconds`.
        noises: what lies behind the words, if anything does.
    """
    places = boundaries(samples, words, rows, row_seconds) if len(words) > 2 else []
    if not places:
        return []
    hop = round(row_seconds * SAMPLE_RATE)
    seconds = np.diff([0, *places]) * row_seconds
    clear = [
        word
        for word in range(1, len(words) - 1)
        if len(words[word]) > 1
        and max(SHORTEST, PHONE_SECONDS * len(words[word])) <= seconds[word] <= LONGEST
    ]
    most = max(1, int(len(samples) / SAMPLE_RATE / SECONDS))
    blank = np.zeros((1, rows.shape[1]), np.float32)
    blank[0, BLANK] = 1.0
    found = []
    for word in rng.permutation(clear)[:most].tolist():
        begin, end = places[word - 1], places[word]
        around = [round(rng.uniform(*AROUND) / row_seconds) for _ in range(2)]
        sound = np.pad(faded(samples[begin * hop : end * hop]), [hop * count for count in around])
        if (noises.recorded or noises.music) and rng.random() < NOISY:
            sound += at_snr(sound, noises.cut(len(sound), rng), rng.uniform(*SNR_DB))
        before, after = (np.repeat(blank, count, axis=0) for count in around)
        found.append(SingleWord(sound, tuple(words[word]), np.concatenate([before, rows[begin:end], after])))
    return found
