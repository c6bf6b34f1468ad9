"""Keywords in rows of log-probabilities, each with a score on one scale: a pure step from state to state.

The search finds peaks. The phones heard around a peak and a language model tell whether it is a word of its own. A
regression fitted on dev makes one score of both: 1 / (1 + false alarms per hour to be expected at this level).
"""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...errors import ConfigError, ModelError
from ..arrays import AnyArray, FloatArray
from ..decode import Decoder
from ..decoding.load import load
from ..metadata import ModelMetadata
from . import calibration
from .boundary import LEFT, PAUSE_SECONDS, RIGHT, Boundaries, PhoneLM, Surroundings
from .keywords import Keywords, columns
from .search import Peak, Search, SearchState

KEPT_PHONES = 160  # of the best path, behind which nothing is looked up
LIKELY = math.log(0.5)


class Spotted(NamedTuple):
    """A keyword that was heard, in seconds from the start of the stream."""

    phrase: str
    start: float
    end: float
    score: float
    """1 / (1 + false alarms per hour to be expected of this keyword at this score or above), in [0, 1]."""
    word_boundary: bool | None
    """Whether it stands as words of its own, and is no part of longer ones; None without a language model."""


class Certain(NamedTuple):
    """A keyword, and when that was known."""

    seen: int
    """Rows, counted from the start of the stream, after which it was."""
    event: Spotted


class SpotterState(NamedTuple):
    """All that spotting remembers between rows."""

    search: SearchState
    label: int
    """The last row's most probable column."""
    heard: AnyArray
    """int64 [phones, 2]: first row and column of the last phones of the best path."""


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
        self.search = Search(
            [[column[phone] for phone in variant.phones] for variant in self._variants],
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
        self._boundaries = Boundaries(lm) if lm is not None else None
        pronunciations = [[variant.phones, variant.starts] for variant in self._variants]
        self.digest = hashlib.sha256(
            json.dumps([lm is not None, self.search.owner.tolist(), pronunciations]).encode()
        ).hexdigest()
        """Of what the search looks for: states are exchangeable between spotters of the same digest."""
        known = {} if self._boundaries is None else self._boundaries.symbol
        self._symbols = [known.get(symbol, 0) for symbol in decoder.symbols]  # of columns
        self._pause = round(PAUSE_SECONDS / decoder.row_seconds)

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
        return SpotterState(self.search.initial(), self._decoder.blank, np.empty((0, 2), np.int64))

    def decode(self, state: SpotterState, rows: FloatArray) -> tuple[list[Certain], SpotterState]:
        """The keywords that `rows` [n, columns], log-probabilities next after those before, make certain; in order.

        One is certain `search.WINDOW_SECONDS` after its end.
        """
        if len(rows) == 0:
            return [], state
        labels = rows.argmax(axis=-1).tolist()
        heard = self._heard(state, labels)
        peaks, search = self.search.decode(state.search, rows)
        found = self._spotted(peaks, heard) if peaks else []
        return found, SpotterState(search, labels[-1], self._kept(heard, search.row))

    def finish(self, state: SpotterState) -> list[Spotted]:
        """The keywords that the end of the stream makes certain."""
        return [found.event for found in self._spotted(self.search.finish(state.search), state.heard)]

    def _heard(self, state: SpotterState, labels: Sequence[int]) -> AnyArray:
        """The phones of the best path, those of the next rows' most probable columns among them."""
        before, row, new = state.label, state.search.row, []
        for place, label in enumerate(labels):
            if label not in (before, self._decoder.blank):
                new.append((row + place, label))
            before = label
        return np.concatenate([state.heard, new]) if new else state.heard

    def _kept(self, heard: AnyArray, row: int) -> AnyArray:
        """What of `heard` may still matter: a fixed number of phones before those that a peak may yet look ahead to."""
        if len(heard) <= KEPT_PHONES:
            return heard
        recent = len(heard) - int(np.searchsorted(heard[:, 0], row - self.search.window))
        return heard[max(0, len(heard) - recent - KEPT_PHONES) :].copy()

    def _spotted(self, peaks: list[Peak], heard: AnyArray) -> list[Certain]:
        found = []
        for peak in peaks:
            variant = self._variants[peak.variant]
            boundary = None
            if self._boundaries is not None:
                phones = [self._boundaries.symbol[phone] for phone in variant.phones]
                boundary = self._boundaries.log_probability(phones, variant.starts, self._around(peak, heard))
            score = calibration.score(peak.score, len(variant.phones), boundary)
            if score >= self.keywords.threshold_of(peak.keyword):
                start, end = self._decoder.seconds(peak.start), self._decoder.seconds(peak.end + 1)
                alone = None if boundary is None else boundary >= LIKELY
                spotted = Spotted(self.keywords[peak.keyword].phrase, start, end, score, alone)
                found.append(Certain(peak.end + self.search.window + 1, spotted))
        return found

    def _around(self, peak: Peak, heard: AnyArray) -> Surroundings:
        """What was heard beside a peak, up to the row that made it certain."""
        first = int(np.searchsorted(heard[:, 0], peak.start))
        last = int(np.searchsorted(heard[:, 0], peak.end, side="right"))
        known = int(np.searchsorted(heard[:, 0], peak.end + self.search.window, side="right"))
        left, right = heard[max(0, first - LEFT) : first], heard[last : min(known, last + RIGHT)]
        symbols = self._symbols
        return Surroundings(
            tuple(symbols[column] for column in left[:, 1].tolist()),
            tuple(symbols[column] for column in right[:, 1].tolist()),
            len(left) > 0 and peak.start - int(left[-1, 0]) > self._pause,
            len(right) > 0 and int(right[0, 0]) - peak.end > self._pause,
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
        return Spotting(self.spotter, self.state._replace(search=self.state.search.skip(rows)))

    def finish(self) -> list[Spotted]:
        """`Spotter.finish`."""
        return self.spotter.finish(self.state)


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
