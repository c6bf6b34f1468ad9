"""Whether a keyword stands as words of its own, or is a part of longer ones: what a phone language model thinks.

Phones alone do not tell *white* from the end of *quite*. A language model whose symbols say where words begin does:
with the phones heard before and after the keyword, summed over all ways to divide them into words,

    log P(words begin where the keyword has them, and at the phone after it | phones)

A pause beside the keyword is a word's end.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from ..arrays import AnyArray

LEFT, RIGHT = 5, 3  # phones of context
PAUSE_SECONDS = 0.25
KEPT_CONTEXTS = 24  # contexts of the language model at a time

_States = Mapping[int, float]  # log-probability of being in each context of the language model


class Expanded(Protocol):
    """Contexts of a language model."""

    @property
    def scores(self) -> AnyArray:
        """float [rows, symbols]: log-probability of each symbol, nats."""

    @property
    def nexts(self) -> AnyArray:
        """int [rows, symbols]: the context after it."""


class PhoneLM(Protocol):
    """A back-off language model of phones, context 0 the empty one. Phone i (from 0) has the symbol i + 1 within a word
    and, in a model with word marks, i + 1 + phones where a word begins with it."""

    @property
    def phones(self) -> tuple[str, ...]: ...

    @property
    def word_marks(self) -> bool: ...

    def rows(self, contexts: AnyArray) -> tuple[Expanded, AnyArray]:
        """Where the scores after `contexts` [n] are: rows, and the row of each."""
        ...


class Surroundings(NamedTuple):
    """What was heard around a keyword."""

    left: tuple[int, ...]
    """The last phones before it, as symbols within words."""
    right: tuple[int, ...]
    """The first ones after it."""
    pause_before: bool
    pause_after: bool


class Boundaries:
    """A language model's opinion. It never changes, and streams may share it."""

    def __init__(self, lm: PhoneLM) -> None:
        """
        Raises:
            ValueError: the language model does not know words from phones.
        """
        if not lm.word_marks:
            raise ValueError("a language model without word marks")
        self._lm = lm
        self._beginning = len(
            lm.phones
        )  # from the symbol of a phone within a word to that at the beginning of one
        self.symbol = {phone: place for place, phone in enumerate(lm.phones, start=1)}

    def log_probability(self, phones: Sequence[int], starts: Sequence[bool], around: Surroundings) -> float:
        """The logarithm of the probability above, at most 0.

        Args:
            phones: the keyword's, as symbols within words.
            starts: of each, whether a word begins with it.
            around: what was heard beside it.
        """
        before = self._walk({0: 0.0}, ((phone, None) for phone in around.left))
        heard = [
            (phone, True if place == 0 and around.pause_before else None)
            for place, phone in enumerate(phones)
        ]
        marked = list(zip(phones, starts, strict=True))
        anything, words = self._walk(before, heard), self._walk(before, marked)
        if around.right and not around.pause_after:
            first, *others = around.right
            rest: list[tuple[int, bool | None]] = [(phone, None) for phone in others]
            anything = self._walk(anything, [(first, None), *rest])
            words = self._walk(words, [(first, True), *rest])
        return min(0.0, _total(words) - _total(anything))

    def _walk(self, states: _States, phones: Iterable[tuple[int, bool | None]]) -> _States:
        """`states` after `phones`, each with whether a word begins with it, None for either."""
        for phone, start in phones:
            symbols = {
                None: (phone, phone + self._beginning),
                True: (phone + self._beginning,),
                False: (phone,),
            }[start]
            contexts = np.array(list(states))
            rows, places = self._lm.rows(contexts)
            reached: dict[int, float] = {}
            for place, log_prob in zip(places.tolist(), states.values(), strict=True):
                for symbol in symbols:
                    context = int(rows.nexts[place, symbol])
                    score = log_prob + float(rows.scores[place, symbol])
                    known = reached.get(context)
                    reached[context] = score if known is None else float(np.logaddexp(known, score))
            if len(reached) > KEPT_CONTEXTS:
                reached = dict(sorted(reached.items(), key=lambda item: (-item[1], item[0]))[:KEPT_CONTEXTS])
            states = reached
        return states


def _total(states: _States) -> float:
    return float(np.logaddexp.reduce(list(states.values())))
