"""Keywords in rows of log-probabilities, each with a score on one scale: a pure step from state to state.

The search finds peaks. A language model tells how probable the keyword is there, beside all else that may have been
said (`context`). A regression fitted on dev makes one score of both: 1 / (1 + false alarms per hour to be expected at
this level).
"""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...errors import ConfigError, ModelError
from ..arrays import FloatArray
from ..decode import Decoder
from ..decoding.load import load
from ..metadata import ModelMetadata
from . import calibration
from .context import Context, Likelihood, PhoneLM
from .keywords import Keywords, columns
from .search import Peak, Search, SearchState

KEPT_SECONDS = 4.0  # of rows; a keyword that has not all of its own among them is judged by its fit alone
LIKELY = math.log(0.5)


class Spotted(NamedTuple):
    """A keyword that was heard, in seconds from the start of the stream."""

    phrase: str
    start: float
    end: float
    score: float
    """1 / (1 + false alarms per hour to be expected of this keyword at this score or above), in [0, 1]."""
    word_boundary: bool | None
    """Whether it stands as words of its own, and is no part of longer ones; None without a language model, and for
    one that takes longer than 3.5 s."""


class Certain(NamedTuple):
    """A keyword, and when that was known."""

    seen: int
    """Rows, counted from the start of the stream, after which it was."""
    event: Spotted


class SpotterState(NamedTuple):
    """All that spotting remembers between rows."""

    search: SearchState
    rows: FloatArray
    """float32 [n, columns]: the last rows; none without a language model."""


class Spotter:
    """Keywords made ready for a model's rows. It never changes, and streams may share it."""

    def __init__(self, decoder: Decoder, keywords: Keywords, lm: PhoneLM | None) -> None:
        """
        Args:
            decoder: the model's, which knows its symbols and times.
            keywords: what to spot, in phones that the model has.
            lm: tells words from parts of longer ones; None: nothing does.

        Raises:
            ConfigError: a keyword has a phone that the model has not.
        """
        self.keywords = keywords
        self._decoder = decoder
        self._variants = [variant for word in keywords for variant in word.variants]
        column = columns(decoder, keywords)
        self._columns = [[column[phone] for phone in variant.phones] for variant in self._variants]
        self.search = Search(
            self._columns,
            [index for index, word in enumerate(keywords) for _ in word.variants],
            blank=decoder.blank,
            row_seconds=decoder.row_seconds,
            lowest=[
                min(
                    calibration.least_fit(keywords.threshold_of(index), len(said.phones), lm is not None)
                    for said in word.variants
                )
                for index, word in enumerate(keywords)
            ],
        )
        self._context = None
        if lm is not None:
            self._context = Context(lm, column, blank=decoder.blank, row_seconds=decoder.row_seconds)
        self.kept = round(KEPT_SECONDS / decoder.row_seconds) if lm else 0
        """Rows that a state has at most."""
        pronunciations = [[variant.phones, variant.starts] for variant in self._variants]
        sought = [lm is not None, self.search.owner.tolist(), pronunciations]
        self.digest = _sha256([*sought, [word.phrase for word in keywords]])
        """Of the keywords and how they sound: states are exchangeable between spotters of the same digest."""
        self.digest_of_sounds = _sha256(sought)
        """The same without what they are called, as earlier snapshots have it."""

    @property
    def columns(self) -> int:
        """Of the rows."""
        return len(self._decoder.symbols)

    @property
    def window(self) -> int:
        """Rows after which a peak is certain."""
        return self.search.window

    def owns(self, keyword: int, variant: int) -> bool:
        """Whether there is that keyword, and the pronunciation is one of its."""
        return 0 <= variant < len(self._variants) and int(self.search.owner[variant]) == keyword

    def initial(self) -> SpotterState:
        """The state before the first row."""
        return SpotterState(self.search.initial(), np.empty((0, self.columns), np.float32))

    def decode(self, state: SpotterState, rows: FloatArray) -> tuple[list[Certain], SpotterState]:
        """The keywords that `rows` [n, columns], log-probabilities next after those before, make certain; in order.

        One is certain `search.WINDOW_SECONDS` after its end.
        """
        if len(rows) == 0:
            return [], state
        peaks, search = self.search.decode(state.search, rows)
        if not self.kept:
            return self._spotted(peaks, rows, search.row), state._replace(search=search)
        rows = np.concatenate([state.rows, rows])
        return self._spotted(peaks, rows, search.row), SpotterState(search, rows[-self.kept :].copy())

    def finish(self, state: SpotterState) -> list[Spotted]:
        """The keywords that the end of the stream makes certain."""
        peaks = self.search.finish(state.search)
        return [found.event for found in self._spotted(peaks, state.rows, state.search.row)]

    def _spotted(self, peaks: Sequence[Peak], rows: FloatArray, end: int) -> list[Certain]:
        """Peaks as keywords, if their scores are high enough; `rows` are the last ones before row `end`."""
        found = []
        for peak in peaks:
            variant = self._variants[peak.variant]
            threshold = self.keywords.threshold_of(peak.keyword)
            least = calibration.least_words(threshold, peak.score, len(variant.phones))
            likelihood = self._judge(peak, rows, end, least)
            score = calibration.score(peak.score, len(variant.phones), likelihood and likelihood.words)
            if score >= threshold:
                start, stop = self._decoder.seconds(peak.start), self._decoder.seconds(peak.end + 1)
                alone = likelihood and likelihood.boundary >= LIKELY
                spotted = Spotted(self.keywords[peak.keyword].phrase, start, stop, score, alone)
                found.append(Certain(peak.end + self.search.window + 1, spotted))
        return found

    def _judge(self, peak: Peak, rows: FloatArray, end: int, least: float) -> Likelihood | None:
        """What the rows around a peak say, at least whether it is as probable as `least`; None: not all are there."""
        if self._context is None:
            return None
        known = peak.end + self.search.window + 1
        earliest = max(end - len(rows), known - self.kept)
        if peak.start < earliest:
            return None
        first = max(earliest, peak.start - self._context.before)
        origin = end - len(rows)  # of the first of `rows`
        around = rows[first - origin : peak.end + 1 + self._context.after - origin]
        variant = self._variants[peak.variant]
        return self._context.judge(
            around - around.max(axis=-1, keepdims=True),
            peak.start - first,
            peak.end + 1 - first,
            peak.score * max(len(variant.phones) - 2, 1),
            self._columns[peak.variant],
            variant.starts,
            least,
        )


class Spotting(NamedTuple):
    """A spotter and how far it has got: what a stream with keywords carries."""

    spotter: Spotter
    state: SpotterState

    def decode(self, rows: FloatArray) -> "tuple[list[Certain], Spotting]":
        """`Spotter.decode`."""
        found, state = self.spotter.decode(self.state, rows)
        return found, Spotting(self.spotter, state)

    def repeats(self, before: "Spotting | None") -> bool:
        """`SearchState.repeats`."""
        return before is not None and self.state.search.repeats(before.state.search)

    def skip(self, rows: int) -> "Spotting":
        """`SearchState.skip`."""
        search, last = self.state
        silence = np.repeat(last[-1:], min(rows, self.spotter.kept), axis=0)
        last = np.concatenate([last, silence])[-self.spotter.kept :] if self.spotter.kept else last
        return Spotting(self.spotter, SpotterState(search.skip(rows), last))

    def finish(self) -> list[Spotted]:
        """`Spotter.finish`."""
        return self.spotter.finish(self.state)


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def open_spotter(meta: ModelMetadata, keywords: Keywords | None) -> Spotter | None:
    """Keywords ready for streams of a model; None for none.

    Raises:
        ConfigError: they are something else, or in phones that the model has not.
    """
    if keywords is None:
        return None
    if not isinstance(keywords, Keywords):
        raise ConfigError(f"keywords={repr(keywords)[:60]}: expected None or Keywords([...])")
    return Spotter(meta.decoder, keywords, boundary_model(meta.phones))


def boundary_model(phones: tuple[str, ...]) -> PhoneLM | None:
    """The bundled language model, if it knows all of `phones`."""
    try:
        lm = load("default", phones)
    except ModelError:
        return None
    return lm if lm.word_marks else None
