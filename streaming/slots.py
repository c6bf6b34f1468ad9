"""The graph's states of many streams, kept stacked between calls: a tick copies only those that are out of place.

Each state tensor exists twice, `[slots, …]` on two sides. A call reads the first r slots of one side and writes those
of the other; nothing is allocated, nothing copied. Which side holds a slot's present state is remembered for each slot,
so that a stream which sits out a tick stays as it was, at the cost of one copy when it takes part again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np

from ..errors import ModelError
from .arrays import Floats
from .batch import split
from .metadata import AUDIO, EXPORT_AGAIN, LOG_PROBS, NEXT
from .model import Buffer, Model

Key = TypeVar("Key")


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
        self._keys: list[Key | None] = [None] * capacity
        self._side = bytearray(capacity)  # of each slot's present state
        self._slots: dict[Key, int] = {}
        self._latest = 0  # the side that the last call wrote to

    def __contains__(self, key: Key) -> bool:
        return key in self._slots

    def put(self, key: Key, state: Mapping[str, Floats]) -> None:
        """Keep `state` of batch 1 under `key`, in place of what was there. A slot must be free for a new key."""
        if key not in self._slots:
            slot = self._keys.index(None)
            self._slots[key], self._keys[slot], self._side[slot] = slot, key, self._latest
        slot = self._slots[key]
        for name, tensor in self._sides[self._side[slot]].items():
            tensor[slot] = state[name][0]

    def get(self, key: Key) -> dict[str, Floats]:
        """A copy of what is kept under `key`, of batch 1."""
        slot = self._slots[key]
        return {
            name: tensor[slot : slot + 1].copy() for name, tensor in self._sides[self._side[slot]].items()
        }

    def drop(self, key: Key) -> None:
        """Free the slot of `key`, if it has one."""
        slot = self._slots.pop(key, None)
        if slot is not None:
            self._keys[slot] = None

    def advance(self, keys: Sequence[Key], audio: Iterable[Floats]) -> tuple[list[Key], Floats, int]:
        """Advance the streams `keys`, each by its `audio` [samples], all of the same whole number of frames.

        Returns:
            The keys in the order of the rows, log_probs [keys, rows, phones + 1], and how many calls it took. The
            log-probabilities are not checked: a stream with NaN among them has no further use.

        A call that raises leaves all states as they were.
        """
        side = self._arrange(keys)
        order = [key for key in self._keys[: len(keys)] if key is not None]
        given = dict(zip(keys, audio, strict=True))
        stacked = np.stack([given[key] for key in order])
        meta = self._model.metadata
        rows = stacked.shape[1] // meta.frame_samples * meta.rows_per_frame
        log_probs = np.empty((len(order), rows, len(meta.phones) + 1), np.float32)
        parts = split(len(order))
        for part in parts:
            inputs = {AUDIO: _buffer(stacked, part)}
            outputs = {LOG_PROBS: _buffer(log_probs, part)}
            for name, tensor in self._sides[side].items():
                inputs[name] = _buffer(tensor, part)
                outputs[NEXT + name] = _buffer(self._sides[1 - side][name], part)
            self._model.run_into(inputs, outputs)
        self._latest = 1 - side
        self._side[: len(order)] = bytes([self._latest]) * len(order)
        return order, log_probs, len(parts)

    def _arrange(self, keys: Sequence[Key]) -> int:
        """Bring `keys` into the first slots and onto the side that most of them are on; that side.

        Slots among the first that others hold are exchanged with those of keys further on. A stream keeps its place
        for as long as the same streams are ready, as live ones are at most ticks.
        """
        taken = [self._slots[key] for key in keys]
        side = int(2 * sum(self._side[slot] for slot in taken) > len(taken))
        wanted = set(taken)
        places = [slot for slot in range(len(keys)) if slot not in wanted]
        for place, slot in zip(places, (slot for slot in taken if slot >= len(keys)), strict=True):
            self._exchange(place, slot, side)
        for slot in range(len(keys)):
            if self._side[slot] != side:
                self._copy(slot, slot, side)
        return side

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


def _buffer(array: Floats, part: slice) -> Buffer:
    """Rows `part` of a C-contiguous `array`."""
    address, _ = array.__array_interface__["data"]
    return Buffer((part.stop - part.start, *array.shape[1:]), address + part.start * array.strides[0])
