"""Beam search over rows of log-probabilities, with or without a language model of phones: slower than greedy decoding,
later, and more often right.

What is searched are prefixes, sequences of phones, each with the probability of all ways to say it in the rows so far
(Hannun et al. 2014, "First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs",
algorithm 1). The score of a prefix is

    log P(prefix | rows) + lm_weight * log P_lm(prefix) + blank_score * time of rows that are blanks

in nats, the blanks' time within the sum, in units of 40 ms. flashlight-text (the extra `beam`) does the search. This
module adds what a stream needs: which phones are final, in memory that stays constant, as a pure step from one state to
the next.

A row is *settled* when all prefixes of the beam come from one way of reading it; the phones that end within settled
rows are final and are emitted. That is looked at every `REVIEW_SECONDS`, counted from the start of the stream. What has
not settled within `delay_seconds` is settled by decree: half of it is read as the best prefix reads it. After a decree,
and whenever `RESTART_SECONDS` have settled, the search starts again behind the settled rows, from the settled prefix
alone. So all that it depends on is a value: the settled prefix's last phones and the rows since.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from .arrays import AnyArray, FloatArray
from .beam_config import BLANK_SCORE, BLANK_SECONDS, BeamSearch
from .beam_lm import flashlight, open_language_model
from .decode import Decoder, DecoderState, Phone

REVIEW_SECONDS = 0.2
RESTART_SECONDS = 1.0
COLUMNS = 15  # most probable columns of a row that a prefix may go on with
CONTEXT = 5  # phones that a language model looks back on at most: KenLM as it is packaged has orders up to 6

_IMPOSSIBLE = -1e4  # log-probability in the rows that only lead the search to a prefix


class Hypothesis(NamedTuple):
    """One way of reading what is not final."""

    phones: tuple[Phone, ...]
    score: float
    """Nats relative to the best hypothesis, whose score is 0; all others are below."""


class _Live(NamedTuple):
    """flashlight's decoder, which has seen a state's rows."""

    decoder: Any
    leading: int  # entries of its paths that come before the state's rows


@dataclass(frozen=True, eq=False)
class BeamState:
    """All that the search remembers between rows."""

    rows: FloatArray
    """[n, columns] since the search last started."""
    start: int = 0
    """Index of the first of `rows`."""
    context: tuple[int, ...] = ()
    """Columns of the last phones before `rows`, the blank for the row before if it was one."""
    settled: DecoderState = field(default_factory=DecoderState)
    """Where the settled path has got to; its row is not before `start`."""
    tails: tuple[Hypothesis, ...] | None = None
    """When the stream is finished: the ways to read what was not final."""
    cache: list[_Live] = field(default_factory=list)
    """The search as it stands, for the first of those who share this state to go on with; others repeat it."""


class _Path(NamedTuple):
    """A prefix's best way through a state's rows."""

    columns: AnyArray  # [rows]
    score: float


class BeamDecoder:
    """Beam search for a model's rows. It never changes, and streams may share it."""

    def __init__(self, greedy: Decoder, search: BeamSearch) -> None:
        """Read the language model, if there is one.

        Args:
            greedy: the model's decoder, which knows its symbols and times.
            search: how to search.

        Raises:
            ModelError: the language model is missing, damaged, or of other phones than the model's.
            ModuleNotFoundError: the extra `beam` is not installed.
        """
        self.greedy = greedy
        self.search = search
        blank_score = search.blank_score
        if blank_score is None:
            blank_score = 0.0 if search.lm is None else BLANK_SCORE
        self._flashlight = flashlight()
        self._lm = open_language_model(search.lm, greedy.symbols, greedy.blank)
        self._options = self._flashlight.LexiconFreeDecoderOptions(
            beam_size=search.size,
            beam_size_token=min(COLUMNS, len(greedy.symbols)),
            beam_threshold=search.threshold,
            lm_weight=search.lm_weight * math.log(10),  # KenLM's are decimal logarithms
            sil_score=blank_score * greedy.row_seconds / BLANK_SECONDS,
            log_add=True,
            criterion_type=self._flashlight.CriterionType.CTC,
        )
        self._review_rows = max(1, round(REVIEW_SECONDS / greedy.row_seconds))
        self._restart_rows = max(1, round(RESTART_SECONDS / greedy.row_seconds))
        self._delay = max(self._review_rows, math.ceil(search.delay_seconds / greedy.row_seconds))

    def initial(self) -> BeamState:
        """The state before the first row."""
        return BeamState(np.empty((0, len(self.greedy.symbols)), np.float32))

    def decode(self, state: BeamState, rows: FloatArray) -> tuple[list[Phone], BeamState]:
        """The phones that become final with `rows` [n, columns]: log-probabilities, next after those seen before."""
        phones: list[Phone] = []
        while len(rows):
            row = state.start + len(state.rows)
            piece, rows = np.split(rows, [self._review_rows - row % self._review_rows])
            state = self._extend(state, piece)
            if (state.start + len(state.rows)) % self._review_rows == 0:
                found, state = self._review(state)
                phones += found
        return phones, state

    def finish(self, state: BeamState) -> tuple[list[Phone], BeamState]:
        """The phones that the end of the stream makes final: those of the best hypothesis."""
        live = self._take(state)
        live.decoder.decode_end()
        tails = self._hypotheses(state, _paths(live, len(state.rows)))
        return list(tails[0].phones), BeamState(
            state.rows[:0],
            state.start + len(state.rows),
            settled=DecoderState(state.start + len(state.rows)),
            tails=tails,
        )

    def n_best(self, state: BeamState) -> tuple[Hypothesis, ...]:
        """The ways to read what is not final, the best first; of a finished stream, what was not final before."""
        if state.tails is not None:
            return state.tails
        live = self._take(state)
        paths = _paths(live, len(state.rows))
        state.cache.append(live)
        return self._hypotheses(state, paths)

    def _extend(self, state: BeamState, rows: FloatArray) -> BeamState:
        live = self._take(state)
        _feed(live.decoder, rows)
        return replace(state, rows=np.concatenate([state.rows, rows]), cache=[live])

    def _review(self, state: BeamState) -> tuple[list[Phone], BeamState]:
        """Settle what can be, and start again if that is much."""
        live = self._take(state)
        paths = _paths(live, len(state.rows))
        columns = np.stack([path.columns for path in paths])
        best = columns[0]
        same = (columns == best).all(axis=0)
        settled = len(same) if same.all() else int(same.argmin())
        late = len(same) - settled >= self._delay
        if late:
            settled = len(same) - self._delay // 2
        done = state.settled.row - state.start
        posteriors = self._posteriors(state.rows[done:settled])
        found, emitted = self._follow(state.settled, best[done:settled], posteriors)
        if late or settled >= self._restart_rows:
            return found, self._restart(state, best[:settled], emitted)
        return found, replace(state, settled=emitted, cache=[live])

    def _restart(self, state: BeamState, path: AnyArray, settled: DecoderState) -> BeamState:
        """Forget what `path` has settled."""
        blank = self.greedy.blank
        columns = [*state.context, *path.tolist()]
        changes = [column for last, column in zip([None, *columns], columns, strict=False) if column != last]
        phones = [column for column in changes if column != blank][-CONTEXT:]
        context = (*phones, blank) if changes and changes[-1] == blank else tuple(phones)
        return BeamState(state.rows[len(path) :].copy(), state.start + len(path), context, settled)

    def _take(self, state: BeamState) -> _Live:
        """A search that has seen `state.rows`, for the caller alone."""
        try:
            return state.cache.pop()  # atomic, so that no two streams go on with one search
        except IndexError:
            return self._search(state)

    def _search(self, state: BeamState) -> _Live:
        blank = self.greedy.blank
        # With the blank as the "silence" of flashlight, a path begins with a blank, and sil_score is for blanks.
        decoder = self._flashlight.LexiconFreeDecoder(self._options, self._lm, blank, blank, [])
        decoder.decode_begin()
        leading = self._leading(state.context)
        _feed(decoder, leading)
        _feed(decoder, state.rows)
        return _Live(decoder, 1 + len(leading))

    def _leading(self, context: tuple[int, ...]) -> FloatArray:
        """Rows after which only the prefix that ends in `context` is left, the language model's memory with it."""
        blank = self.greedy.blank
        path: list[int] = []
        for column in context:
            path += [column] if column == blank or not path else [blank, column]
        rows = np.full((len(path), len(self.greedy.symbols)), _IMPOSSIBLE, np.float32)
        rows[np.arange(len(path)), path] = 0
        return rows

    def _hypotheses(self, state: BeamState, paths: list[_Path]) -> tuple[Hypothesis, ...]:
        """Different sequences of phones, which are fewer than paths: one may end in a blank and another not."""
        done = state.settled.row - state.start
        posteriors = self._posteriors(state.rows[done:])
        found: dict[tuple[str, ...], Hypothesis] = {}
        for columns, score in paths:
            phones, run = self._follow(state.settled, columns[done:], posteriors)
            phones += self.greedy.finish(run)
            symbols = tuple(phone.symbol for phone in phones)
            if symbols in found:
                known = found[symbols]
                found[symbols] = known._replace(score=float(np.logaddexp(known.score, score)))
            else:
                found[symbols] = Hypothesis(tuple(phones), score)
        ordered = sorted(found.values(), key=lambda hypothesis: -hypothesis.score)
        best = ordered[0].score
        return tuple(hypothesis._replace(score=hypothesis.score - best) for hypothesis in ordered)

    def _posteriors(self, rows: FloatArray) -> AnyArray:
        scaled = rows.astype(np.float64) / self.greedy.temperature
        weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        posteriors: AnyArray = weights / weights.sum(axis=1, keepdims=True)
        return posteriors

    def _follow(
        self, state: DecoderState, columns: AnyArray, posteriors: AnyArray
    ) -> tuple[list[Phone], DecoderState]:
        """The phones that end on a path, with its own posteriors: they need not be the rows' highest."""
        confidences = posteriors[np.arange(len(columns)), columns]
        return self.greedy.decode_labels(state, columns.tolist(), confidences.tolist())


class Beam(NamedTuple):
    """A search and how far it has got: what a stream that decodes so carries."""

    decoder: BeamDecoder
    state: BeamState

    def decode(self, rows: FloatArray) -> "tuple[list[Phone], Beam]":
        """`BeamDecoder.decode`."""
        phones, state = self.decoder.decode(self.state, rows)
        return phones, Beam(self.decoder, state)

    def finish(self) -> "tuple[list[Phone], Beam]":
        """`BeamDecoder.finish`."""
        phones, state = self.decoder.finish(self.state)
        return phones, Beam(self.decoder, state)

    def n_best(self) -> tuple[Hypothesis, ...]:
        """`BeamDecoder.n_best`."""
        return self.decoder.n_best(self.state)


def _feed(decoder: Any, rows: FloatArray) -> None:
    """Let flashlight read `rows`; it takes an address."""
    contiguous = np.ascontiguousarray(rows, np.float32)
    decoder.decode_step(contiguous.ctypes.data, *contiguous.shape)


def _paths(live: _Live, rows: int) -> list[_Path]:
    """The beam's paths through a state's rows, the best first."""
    results = live.decoder.get_all_final_hypothesis()
    paths = [
        _Path(np.array(result.tokens[live.leading : live.leading + rows], int), result.score)
        for result in results
    ]
    return sorted(paths, key=lambda path: -path.score)
