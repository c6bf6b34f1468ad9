"""Rows of log-probabilities to phones by beam search: what is final when, and what is only a guess so far.

Every `REVIEW_SECONDS`, counted in rows from the start of the stream, phones are *settled*: first those on which all
prefixes of the beam agree and which the best one has left behind; then, by decree, those of the best prefix that
would be older than `delay_seconds` at the next review. Prefixes that read them otherwise are given up, and so are
those that have another phone before the last of them has ended, or one that would be too late. What is settled is
final; so is the oldest phone of a history that is full. It is emitted when what follows it is final, too, which tells
where it ends (`tiling.py`), or when it would be older than `delay_seconds` at the next review: it then ends where the
best prefix puts it, and before any phone of another prefix. Nothing depends on how rows are cut into calls.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..decode import Decoder, Phone
from ..tiling import Spike, TilingState
from . import search
from .config import BLANK_SCORE, BLANK_SECONDS, BeamSearch
from .load import load
from .search import MAX_CONFIDENCE, Beam, Rule
from .search_many import step_many

REVIEW_SECONDS = 0.1
CUT = 8.0  # nats below a row's best column at which another is not tried
SKIP = math.log(0.95)  # a row whose blank has more is no place for a new phone
FEW = 3  # fewer streams are quicker one by one
PHONE_SECONDS = 0.04  # a history has room for phones as short as this, on average


class Hypothesis(NamedTuple):
    """One way of reading what is not final."""

    phones: tuple[Phone, ...]
    score: float
    """Nats relative to the best hypothesis, whose score is 0; all others are below."""


@dataclass(frozen=True, eq=False)
class BeamState:
    """All that the search remembers between rows."""

    row: int
    """The next row's index."""
    beam: Beam
    tiling: TilingState
    ended: float | None = None
    """Seconds at which the stream has ended, if it has: all that `beam` holds of the best hypothesis is final."""


class BeamDecoder:
    """Beam search for a model's rows. It never changes, and streams may share it."""

    def __init__(self, greedy: Decoder, settings: BeamSearch) -> None:
        """Read the language model, if there is one.

        Args:
            greedy: the model's decoder, which knows its symbols and times.
            settings: how to search.

        Raises:
            ModelError: the language model is missing, damaged, or of other phones than the model's.
        """
        self.greedy = greedy
        self.settings = settings
        phones = tuple(symbol for column, symbol in enumerate(greedy.symbols) if column != greedy.blank)
        lm = load(settings.lm, phones)
        blank_score = settings.blank_score
        if blank_score is None:
            blank_score = 0.0 if settings.lm is None else BLANK_SCORE
        self._review = max(1, round(REVIEW_SECONDS / greedy.row_seconds))
        self.delay = max(self._review, math.floor(settings.delay_seconds / greedy.row_seconds + 1e-6))
        """Rows within which a phone is final, counted from the end of its first."""
        seconds = (self.delay + self._review) * greedy.row_seconds
        column, symbols = _symbols(greedy, lm.phones, lm.word_marks)
        self._inside = len(lm.phones) if lm.word_marks else None  # the last symbol within a word
        self.rule = Rule(
            lm,
            column,
            symbols,
            greedy.blank,
            size=settings.size,
            acoustic_scale=settings.acoustic_scale,
            lm_weight=settings.lm_weight,
            blank_score=blank_score * greedy.row_seconds / BLANK_SECONDS,
            threshold=settings.threshold,
            cut=CUT * settings.acoustic_scale,
            skip=SKIP * settings.acoustic_scale,
            depth=max(8, math.ceil(seconds / PHONE_SECONDS)),
        )

    def parameters(self) -> dict[str, float]:
        """The numbers that the search goes by, for another implementation of it: streaming/web/page/beam.js."""
        rule = self.rule
        names = ("size", "acoustic_scale", "lm_weight", "blank_score", "threshold", "cut", "skip", "depth")
        return {name: getattr(rule, name) for name in names} | {"review": self._review, "delay": self.delay}

    def initial(self, row: int = 0, tiling: TilingState | None = None) -> BeamState:
        """The state before the first row of an utterance, which is number `row`; `tiling`: what the last one left."""
        return BeamState(row, search.empty(self.rule), tiling or TilingState())

    def decode(self, state: BeamState, rows: FloatArray) -> tuple[list[Phone], BeamState]:
        """The phones that become final with `rows` [n, columns]: log-probabilities, next after those seen before."""
        row, beam, tiling = state.row, state.beam, state.tiling
        phones: list[Phone] = []
        log_probs = rows.astype(np.float64)
        for y, confidence in zip(log_probs, self._confidences(log_probs), strict=True):
            beam = search.step(self.rule, beam, row, y, confidence)
            row += 1
            if self._due(beam, row):
                found, beam, tiling = self._review_beam(beam, tiling, row)
                phones += found
        return phones, BeamState(row, beam, tiling)

    def decode_many(
        self, states: Sequence[BeamState], rows: FloatArray
    ) -> list[tuple[list[Phone], BeamState]]:
        """`decode` of each of `states` with its `rows` [states, n, columns], all in one step for each row."""
        if len(states) < FEW:
            return [self.decode(*each) for each in zip(states, rows, strict=True)]
        log_probs = rows.astype(np.float64)
        confidences = self._confidences(log_probs)
        beams, tilings = [state.beam for state in states], [state.tiling for state in states]
        phones: list[list[Phone]] = [[] for _ in states]
        numbers = np.array([state.row for state in states])
        for y, confidence in zip(log_probs.swapaxes(0, 1), confidences.swapaxes(0, 1), strict=True):
            beams = step_many(self.rule, beams, numbers, y, confidence)
            numbers = numbers + 1
            for place, (beam, row) in enumerate(zip(beams, numbers.tolist(), strict=True)):
                if self._due(beam, row):
                    found, beams[place], tilings[place] = self._review_beam(beam, tilings[place], row)
                    phones[place] += found
        # What a stream keeps is its own: a part of a joint array would hold on to all of it.
        own = [Beam(*(array.copy() for array in beam)) for beam in beams]
        return [
            (found, BeamState(*after))
            for found, *after in zip(phones, numbers.tolist(), own, tilings, strict=True)
        ]

    def _due(self, beam: Beam, row: int) -> bool:
        """Whether a beam is reviewed after `row` rows."""
        return row % self._review == 0 or bool(beam.length.max() == self.rule.depth)

    def _review_beam(
        self, beam: Beam, tiling: TilingState, row: int
    ) -> tuple[list[Phone], Beam, TilingState]:
        """The phones to emit after `row` rows, and what goes on."""
        heard, beam = self._settle(beam, row)
        timed, tiling = self.greedy.tiling.add(tiling, self._spikes(heard))
        if tiling.held is not None and tiling.held.spike.start < self._late(row):
            following = next(iter(self._spikes(_best(beam)[:1])), None)
            last, tiling = self.greedy.tiling.release(tiling, following, self._next_peak(beam, row))
            timed += last
        return self.greedy.phones(timed), beam, tiling

    def finish(self, state: BeamState, seconds: float | None = None) -> tuple[list[Phone], BeamState]:
        """The phones that the end of the stream makes final: those of the best hypothesis.

        Args:
            seconds: where the stream ends; None: with its last row.
        """
        after = replace(state, ended=self.greedy.seconds(state.row) if seconds is None else seconds)
        return list(self.n_best(after)[0].phones), after

    def end_utterance(self, state: BeamState) -> tuple[list[Phone], BeamState]:
        """The phones that the end of an utterance makes final, and the state before the next one's first row."""
        phones, _ = self.finish(state)
        until = phones[-1].end if phones else state.tiling.until
        return phones, self.initial(state.row, TilingState(until, self.greedy.seconds(state.row)))

    def tentative(self, state: BeamState) -> list[Phone]:
        """The best guess so far at what follows the phones that are emitted; the next row may change all of it.

        What is final comes first, but where it ends may change."""
        if state.ended is not None:
            return []
        return self.greedy.finished(
            state.tiling, self._spikes(_best(state.beam)), self.greedy.seconds(state.row)
        )

    def n_best(self, state: BeamState) -> tuple[Hypothesis, ...]:
        """The ways to read what is not emitted, the best first; after the end, what was not emitted before."""
        beam, lm = state.beam, self.rule.lm
        scores = search.scores(beam)
        seconds = self.greedy.seconds(state.row)
        if state.ended is not None:
            seconds = state.ended
            rows, places = lm.rows(beam.context)
            scores = scores + self.rule.lm_weight * rows.scores[places, lm.end]
        found: dict[bytes, Hypothesis] = {}
        for place in np.argsort(-scores, kind="stable").tolist():
            heard = beam.history[place, : beam.length[place]]
            key = self.rule.column[heard["symbol"]].tobytes()
            score = float(scores[place])
            if key in found:  # another guess at where words begin
                known = found[key]
                found[key] = known._replace(score=float(np.logaddexp(known.score, score)))
            else:
                phones = self.greedy.finished(state.tiling, self._spikes(heard), seconds)
                found[key] = Hypothesis(tuple(phones), score)
        ordered = sorted(found.values(), key=lambda hypothesis: -hypothesis.score)
        best = ordered[0].score
        return tuple(hypothesis._replace(score=hypothesis.score - best) for hypothesis in ordered)

    def _confidences(self, log_probs: AnyArray) -> AnyArray:
        """uint16 [..., columns]."""
        scaled = log_probs / self.greedy.temperature
        weights = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
        posteriors = weights / weights.sum(axis=-1, keepdims=True)
        confidences: AnyArray = np.rint(posteriors * MAX_CONFIDENCE).astype(np.uint16)
        return confidences

    def _settle(self, beam: Beam, row: int) -> tuple[AnyArray, Beam]:
        """Phones (HEARD) that are final after `row` rows, and the beam without them."""
        mine = _best(beam)
        late = self._late(row)
        full = beam.length == self.rule.depth
        count = max(_agreed(beam, mine, row), int(np.count_nonzero(mine["start"] < late)))
        if full.any():
            count = max(count, min(1, len(mine)))
        final = mine[:count].copy()
        symbols = beam.history["symbol"]
        fits = (beam.length >= count) & (symbols[:, :count] == final["symbol"]).all(axis=1)
        # What is not final must begin after what is, and not be late either.
        following = np.where(beam.length > count, beam.history["start"][:, count % self.rule.depth], row)
        if count:
            begin, end = int(final["start"][-1]), int(final["start"][-1]) + int(final["rows"][-1])
            end = max(begin + 1, min(end, int(following[fits].min())))
            final["rows"][-1] = min(end - begin, 255)
            late = max(late, end)
        fits &= following >= late
        if count == 0:
            fits &= ~full
        if not fits.all():
            beam = search.keep(beam, fits)
        if count == 0:
            return final, beam
        history = np.zeros_like(beam.history)
        history[:, : self.rule.depth - count] = beam.history[:, count:]
        return final, beam._replace(history=history, length=beam.length - np.int16(count))

    def _late(self, row: int) -> int:
        """After `row` rows, a phone that began before this one would be late at the next review."""
        return row + self._review - 1 - self.delay

    def _next_peak(self, beam: Beam, row: int) -> float:
        """Seconds before which no prefix will have the peak of its first phone."""
        first = beam.history[beam.length > 0, 0]
        peaks = self.greedy.tiling.middles(first["start"], first["rows"])
        return min(self.greedy.seconds(row), float(peaks.min(initial=math.inf)))

    def _spikes(self, heard: AnyArray) -> list[Spike]:
        """Spikes of HEARD entries."""
        return [
            Spike(
                int(self.rule.column[symbol]),
                start,
                start + rows,
                confidence / MAX_CONFIDENCE,
                None if self._inside is None else symbol > self._inside,
            )
            for start, rows, symbol, confidence in heard.tolist()
        ]


def _best(beam: Beam) -> AnyArray:
    """HEARD [n]: what the best prefix has that is not final."""
    best = int(search.scores(beam).argmax())
    history: AnyArray = beam.history[best, : beam.length[best]]
    return history


def _agreed(beam: Beam, mine: AnyArray, row: int) -> int:
    """Of the best prefix's phones `mine`, how many all prefixes share and it has left behind before `row` rows."""
    count = int(beam.length.min())
    if count == 0:
        return 0
    same = (beam.history["symbol"][:, :count] == mine["symbol"][:count]).all(axis=0)
    same &= mine["start"][:count] + mine["rows"][:count] < row
    return count if same.all() else int(same.argmin())


def _symbols(greedy: Decoder, phones: tuple[str, ...], word_marks: bool) -> tuple[AnyArray, AnyArray]:
    """`Rule.column` and `Rule.symbols`, for a language model that has all the phones of the model."""
    own = {symbol: column for column, symbol in enumerate(greedy.symbols)}
    kinds = 2 if word_marks else 1
    column = np.full(len(phones) * kinds + 2, greedy.blank)
    symbols = np.zeros((len(greedy.symbols), kinds), int)
    for place, phone in enumerate(phones):
        if phone in own:
            for kind in range(kinds):
                symbol = place + 1 + kind * len(phones)
                column[symbol] = own[phone]
                symbols[own[phone], kind] = symbol
    return column, symbols
