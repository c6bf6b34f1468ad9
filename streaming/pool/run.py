"""Frames of many streams through the graph: the one place where streams share a call of it.

Where the graph's states of the streams lie is a `Batch`'s business: `Gathered` takes them out of each `StreamState`
and gives them back, `slots.Slots` keeps them stacked.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from ...errors import ModelError
from .. import state
from ..arrays import AnyArray, FloatArray
from ..model import Model
from ..stream_state import Event, StreamState
from .plan import plan, split

Key = TypeVar("Key", bound=Hashable)

GraphState = Mapping[str, FloatArray]
"""The graph's state tensors of one stream, of batch 1."""


class Batch(Protocol[Key]):
    """The graph, for several streams in one call."""

    def advance(
        self, keys: Sequence[Key], states: Sequence[GraphState], audio: Sequence[FloatArray]
    ) -> tuple[Sequence[Key], FloatArray, Sequence[GraphState]]:
        """Advance streams by their `audio` [samples], all of the same number of frames.

        Returns:
            The keys in the order of what follows; log_probs [streams, rows, phones + 1], not checked for NaN; the
            next states. A call that raises leaves all states as they were.
        """

    def keep(self, key: Key, model: GraphState) -> GraphState:
        """Make `model` the state of a stream in place of the one that the graph gave; where it is now."""

    def undo(self, key: Key) -> None:
        """A stream of the last call is where it was before it."""


class Advanced(NamedTuple):
    """A stream after a call."""

    events: list[Event]
    state: StreamState
    error: ModelError | None = None
    """Not None: the graph gave NaN or infinity for this stream, and `state` is that before."""


def run_frames(
    model: Model, states: Mapping[Key, StreamState], budgets: Mapping[Key, int], batch: Batch[Key]
) -> Iterator[tuple[Key, Advanced]]:
    """Advance each stream by all frames that are pending, up to its budget, in few calls.

    Calls are planned anew after each: what is left of a stream that silence has stopped goes with what others have.

    Yields what each call brought for each stream in it; a stream may be in several calls, but in none after it failed.
    """
    now, left = dict(states), dict(budgets)
    valid: dict[Key, int] = {}  # frames that stand, of streams for which a call went too far
    frame = model.metadata.frame_samples

    def ready(keys: Iterable[Key]) -> dict[Key, int]:
        """How many frames of each stream the next call may take, where there are any."""
        return {
            key: frames
            for key in keys
            if (most := left.get(key, 0))
            and (frames := min(most, valid.get(key, most), state.ready_frames(model, now[key])))
        }

    counts = ready(left)
    while counts:
        keys = list(counts)
        frames, group = plan(list(counts.values()))[0]
        going = [keys[index] for index in group]
        audio = [now[key].pending[: frames * frame] for key in going]
        order, log_probs, next_states = batch.advance(going, [now[key].model for key in going], audio)
        finite: AnyArray = np.logical_and.reduce(np.isfinite(log_probs), axis=(1, 2))
        outputs = state.read_outputs(model, [now[key] for key in order], log_probs)
        sound: list[int] = []
        for place, key in enumerate(order):
            if not finite[place]:
                del left[key]
                yield key, Advanced([], now.pop(key), model.unusable())
                continue
            standing = state.valid_frames(model, now[key], outputs[place])
            if standing == frames:
                sound.append(place)
            else:
                batch.undo(key)
                valid[key] = standing
        kept = state.search_together(
            model, [now[order[place]] for place in sound], [outputs[place] for place in sound]
        )
        for place, output in zip(sound, kept, strict=True):
            key = order[place]
            events, after = state.decode_output(model, now[key], output, next_states[place])
            if after.model is not next_states[place]:
                after = replace(after, model=batch.keep(key, after.model))
            now[key] = after
            left[key] -= frames
            if key in valid:
                valid[key] -= frames
                if not valid[key]:
                    del valid[key]
            yield key, Advanced(events, after)
        for key in order:
            del counts[key]
        counts |= ready(order)


class Gathered:
    """States that are stacked for a call and taken apart after it, each stream's to be its own."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._axes = {spec.name: spec.batch_axis for spec in model.metadata.states}

    def advance(
        self, keys: Sequence[Key], states: Sequence[GraphState], audio: Sequence[FloatArray]
    ) -> tuple[Sequence[Key], FloatArray, list[GraphState]]:
        """See `Batch`."""
        log_probs, next_states = [], []
        for part in split(len(keys), len(audio[0]) // self._model.metadata.frame_samples):
            stacked = {
                name: np.concatenate([own[name] for own in states[part]], axis=axis)
                for name, axis in self._axes.items()
            }
            rows, stacked = self._model.run_unchecked(np.stack(audio[part]), stacked)
            log_probs.append(rows)
            next_states += [self._one(stacked, row) for row in range(len(rows))]
        return keys, np.concatenate(log_probs), next_states

    def keep(self, key: object, model: GraphState) -> GraphState:
        """See `Batch`."""
        return model

    def undo(self, key: object) -> None:
        """See `Batch`."""

    def _one(self, stacked: GraphState, row: int) -> GraphState:
        """The state of one stream, copied: a view would keep the whole batch in memory."""
        return {
            name: stacked[name][(slice(None),) * axis + (slice(row, row + 1),)].copy()
            for name, axis in self._axes.items()
        }
