"""The graph's states of many streams, kept stacked between calls: a tick copies only those that are out of place.

Each state tensor exists twice, `[slots, …]` on two sides. A call reads the first r slots of one side and writes those
of the other; nothing is allocated, nothing copied. Which side holds a slot's present state is remembered for each slot,
so that a stream which sits out a tick stays as it was, at the cost of one copy when it takes part again.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic

import numpy as np

from ...errors import ModelError
from ..arrays import FloatArray
from ..metadata import AUDIO, EXPORT_AGAIN, LOG_PROBS, NEXT
from ..model import Buffer, Model
from .plan import split
from .run import GraphState, Key


class Slots(Generic[Key]):
    """Model states of up to `capacity` streams, each under a key of the caller's.

    Memory is taken as slots come into use: twice the state of a stream for each. Not for several threads at once.

    Raises:
        ModelError: a state tensor whose first axis is not the batch, so that streams would not lie side by side.
    """

    def __init__(self, model: Model, capacity: int) -> None:
        for spec in model.metadata.states:
            if spec.batch_axis != 0:
                raise ModelError(
                    f"{model.source}: state {spec.name!r} of shape {list(spec.shape)} has its batch "
                    f"on axis {spec.batch_axis}, and a pool needs it on axis 0; {EXPORT_AGAIN}"
                )
        self._model = model
        # Pages of zeros are not there until they are written to.
        self._sides = tuple(model.initial_state(capacity) for _ in range(2))
        self._rows = [{name: _Rows(tensor) for name, tensor in side.items()} for side in self._sides]
        self._keys: list[Key | None] = [None] * capacity
        self._side = bytearray(capacity)  # of each slot's present state
        self._slots: dict[Key, int] = {}
        self._latest = 0  # the side that the last call wrote to
        self.calls = 0
        """Of the graph, so far."""

    def __contains__(self, key: Key) -> bool:
        return key in self._slots

    def keep(self, key: Key, model: GraphState) -> GraphState:
        """Keep `model` of batch 1 under `key`, in place of what was there. A slot must be free for a new key.

        Returns:
            A view: it shows whatever is kept under `key`, for as long as that is in a slot.
        """
        if key not in self._slots:
            slot = self._keys.index(None)
            self._slots[key], self._keys[slot], self._side[slot] = slot, key, self._latest
        slot = self._slots[key]
        for name, tensor in self._sides[self._side[slot]].items():
            tensor[slot] = model[name][0]
        return _View(self, key)

    def undo(self, key: Key) -> None:
        """See `Batch`: what a call reads from is left as it was."""
        slot = self._slots[key]
        self._side[slot] = 1 - self._side[slot]

    def tensor(self, key: Key, name: str) -> FloatArray:
        """A state tensor of batch 1 of what is kept under `key`, until the next call."""
        slot = self._slots[key]
        return self._sides[self._side[slot]][name][slot : slot + 1]

    @property
    def names(self) -> Sequence[str]:
        """Of the state tensors."""
        return list(self._sides[0])

    def drop(self, key: Key) -> None:
        """Free the slot of `key`, if it has one."""
        slot = self._slots.pop(key, None)
        if slot is not None:
            self._keys[slot] = None

    def advance(
        self, keys: Sequence[Key], states: Sequence[GraphState], audio: Sequence[FloatArray]
    ) -> tuple[list[Key], FloatArray, list[GraphState]]:
        """See `Batch`; `states` are the views that `keep` gave."""
        first, side = self._arrange(keys)
        given = dict(zip(keys, zip(states, audio, strict=True), strict=True))
        order = [key for key in self._keys[first : first + len(keys)] if key is not None]
        stacked = np.stack([given[key][1] for key in order])
        meta = self._model.metadata
        frames = stacked.shape[1] // meta.frame_samples
        log_probs = np.empty((len(order), frames * meta.rows_per_frame, len(meta.phones) + 1), np.float32)
        audio_rows, log_prob_rows = _Rows(stacked), _Rows(log_probs)
        for part in split(len(order), frames):
            slots = slice(first + part.start, first + part.stop)
            inputs = {AUDIO: audio_rows.buffer(part)}
            outputs = {LOG_PROBS: log_prob_rows.buffer(part)}
            for name, before in self._rows[side].items():
                inputs[name] = before.buffer(slots)
                outputs[NEXT + name] = self._rows[1 - side][name].buffer(slots)
            self._model.run_into(inputs, outputs)
            self.calls += 1
        self._latest = 1 - side
        self._side[first : first + len(order)] = bytes([self._latest]) * len(order)
        return order, log_probs, [given[key][0] for key in order]

    def _arrange(self, keys: Sequence[Key]) -> tuple[int, int]:
        """Bring `keys` into neighbouring slots and onto one side; the first of the slots, and the side.

        The slots are those that most of the keys are in already, the side is that of most. Others in these slots change
        places with keys elsewhere. Streams that are ready together, as live ones are at most ticks, so come to lie
        side by side and stay there.
        """
        taken = [self._slots[key] for key in keys]
        side = int(2 * sum(self._side[slot] for slot in taken) > len(taken))
        before = np.zeros(len(self._keys) + 1, int)  # wanted slots before each
        before[[slot + 1 for slot in taken]] = 1
        before = before.cumsum()
        first = int((before[len(keys) :] - before[: len(before) - len(keys)]).argmax())
        window = range(first, first + len(keys))
        wanted = set(taken)
        places = [slot for slot in window if slot not in wanted]
        for place, slot in zip(places, (slot for slot in taken if slot not in window), strict=True):
            self._exchange(place, slot, side)
        for slot in window:
            if self._side[slot] != side:
                self._copy(slot, slot, side)
        return first, side

    def _exchange(self, place: int, slot: int, side: int) -> None:
        """Move the stream in `slot` to `place` on `side`, and the one at `place`, if there is one, to `slot`."""
        key, other, own = self._keys[slot], self._keys[place], self._side[slot]
        if other is not None:
            self._copy(place, slot, 1 - own)  # beside the state that is still to be read
            self._slots[other] = slot
        tensors = zip(self._sides[side].values(), self._sides[own].values(), strict=True)
        for target, source in tensors:
            target[place] = source[slot]
        self._side[place] = side
        self._keys[place], self._keys[slot] = key, other
        if key is not None:
            self._slots[key] = place

    def _copy(self, source: int, target: int, side: int) -> None:
        """Copy the state in slot `source` to slot `target` on `side`."""
        before = self._sides[self._side[source]]
        for name, tensor in self._sides[side].items():
            tensor[target] = before[name][source]
        self._side[target] = side


class _Rows:
    """Where the rows of a C-contiguous array lie."""

    def __init__(self, array: FloatArray) -> None:
        self._address, _ = array.__array_interface__["data"]
        self._bytes, self._shape = array.strides[0], array.shape[1:]

    def buffer(self, part: slice) -> Buffer:
        """Rows `part`."""
        return Buffer((part.stop - part.start, *self._shape), self._address + part.start * self._bytes)


class _View(Mapping[str, FloatArray], Generic[Key]):
    """The state of one stream in its slot, as it is when a tensor is asked for."""

    def __init__(self, slots: Slots[Key], key: Key) -> None:
        self._slots = slots
        self._key = key

    def __getitem__(self, name: str) -> FloatArray:
        return self._slots.tensor(self._key, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots.names)

    def __len__(self) -> int:
        return len(self._slots.names)
