"""Beam search as a stream carries it, and that of many streams together."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..arrays import FloatArray
from ..decode import Phone
from . import search
from .decoder import BeamDecoder, BeamState, Hypothesis


class Search(NamedTuple):
    """A decoder and how far it has got: what a stream that decodes so carries."""

    decoder: BeamDecoder
    state: BeamState

    def decode(self, rows: FloatArray) -> "tuple[list[Phone], Search]":
        """`BeamDecoder.decode`."""
        phones, state = self.decoder.decode(self.state, rows)
        return phones, Search(self.decoder, state)

    def end_utterance(self) -> "tuple[list[Phone], Search]":
        """`BeamDecoder.end_utterance`."""
        phones, state = self.decoder.end_utterance(self.state)
        return phones, Search(self.decoder, state)

    def repeats(self, before: "Search | None") -> bool:
        """Whether no phone is open, and the prefixes and what tells them apart are those of `before`."""
        if before is None:
            return False
        now, then = self.state.beam, before.state.beam
        if (
            self.state.tiling.held is not None
            or now.length.any()
            or not np.array_equal(now.identity, then.identity)
        ):
            return False
        now_scores, then_scores = search.scores(now), search.scores(then)
        return bool(np.allclose(now_scores - now_scores.max(), then_scores - then_scores.max(), atol=1e-6))

    def skip(self, rows: int) -> "Search":
        """The search after `rows` in which no phone begins: blanks add the same to the scores of all prefixes."""
        beam = self.state.beam
        beam = beam._replace(phone=np.full_like(beam.phone, search.IMPOSSIBLE))
        return Search(self.decoder, replace(self.state, row=self.state.row + rows, beam=beam))

    def finish(self, seconds: float) -> "tuple[list[Phone], Search]":
        """`BeamDecoder.finish`."""
        phones, state = self.decoder.finish(self.state, seconds)
        return phones, Search(self.decoder, state)

    def tentative(self) -> list[Phone]:
        """`BeamDecoder.tentative`."""
        return self.decoder.tentative(self.state)

    def n_best(self) -> tuple[Hypothesis, ...]:
        """`BeamDecoder.n_best`."""
        return self.decoder.n_best(self.state)


def decode_together(searches: Sequence[Search], rows: FloatArray) -> list[tuple[list[Phone], Search]]:
    """`Search.decode` of each of `searches` with its `rows` [searches, n, columns]; those of one decoder in one go."""
    places: dict[BeamDecoder, list[int]] = {}
    for place, each in enumerate(searches):
        places.setdefault(each.decoder, []).append(place)
    done: dict[int, tuple[list[Phone], Search]] = {}
    for decoder, own in places.items():
        decoded = decoder.decode_many([searches[place].state for place in own], rows[own])
        done |= {
            place: (phones, Search(decoder, after))
            for place, (phones, after) in zip(own, decoded, strict=True)
        }
    return [done[place] for place in range(len(searches))]
