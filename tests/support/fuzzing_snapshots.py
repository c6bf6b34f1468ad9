"""Snapshots changed at random, from a seed: they are refused in one line, or are streams like any other."""

from typing import Any

import numpy as np
from fuzzing_json import changed, flipped
from snapshots import sealed, unpacked

from phonestream import Commands, Keywords, PhonestreamError, Recognizer, SnapshotError

SPOTTING = {
    "keywords": Keywords(["saturday", "the", "land"], threshold=0),
    "commands": Commands(["land", "lamp on"]),
}
"""What streams of `spotting` look for."""


def originals(recognizer: Recognizer) -> list[bytes]:
    """Snapshots of streams of every kind."""
    random = np.random.default_rng(1)
    saved = []
    for rate, options in (
        (16_000, {}),
        (44_100, {"endpoints": True}),
        (16_000, {"posteriors": True, "decoder": "greedy"}),
        (8_000, {"endpoints": True, "decoder": "greedy"}),
    ):
        stream = recognizer.stream(**options)
        saved.append(stream.save())
        for gap in (0, 100, rate):
            stream.accept(random.uniform(-0.1, 0.1, rate // 3).astype(np.float32), rate)
            stream.gap(gap)
        saved.append(stream.save())
        stream.finish()
        saved.append(stream.save())
    return saved


def spotting(recognizer: Recognizer, speech: np.ndarray) -> list[bytes]:
    """Snapshots of a stream with keywords and commands, of 16 kHz `speech`."""
    stream = recognizer.stream(**SPOTTING, endpoints=True)
    saved = [stream.save()]
    for begin in range(0, len(speech), 10_000):
        stream.accept(speech[begin : begin + 10_000])
        saved.append(stream.save())
    stream.finish()
    return [*saved, stream.save()]


def mutated(snapshots: list[bytes], seed: int, number: int) -> bytes:
    """One of a seed's snapshots: bytes changed, or fields and tensors under a checksum that is right."""
    random = np.random.default_rng([seed, number])
    while True:
        data = snapshots[random.integers(len(snapshots))]
        if random.random() < 0.2:
            return flipped(data, random)
        fields, tensors = unpacked(data)
        if "spotting" in fields and random.random() < 0.5:  # else hardly ever what is looked for
            name = ("spotting", "commands")[random.integers(2)]
            fields = fields | {name: changed(fields[name], random)}
        for _ in range(random.integers(1, 4)):
            if random.random() < 0.6:
                fields = changed(fields, random)
            else:
                name = list(tensors)[random.integers(len(tensors))]
                tensors = {**tensors, name: _changed(tensors[name], random)}
        try:
            return sealed(fields, tensors)
        except (TypeError, ValueError, AttributeError):
            continue  # no longer anything that JSON or safetensors can hold


_CHOICES = {
    "u": (0, 1, 255),
    "i": (0, -1, 1, 2**32 - 1, 2**32 - 9, -(2**32), -(2**40) + 3, -(2**60), 2**62),
    "f": (0, -1, 3e38, np.nan, np.inf, 1e-40),
}


def _changed(tensor: np.ndarray, random: np.random.Generator) -> np.ndarray:
    match random.integers(6):
        case 0:
            return tensor[: len(tensor) // 2]
        case 1:
            return np.concatenate([tensor, tensor])
        case 2:
            return tensor.astype(np.float64 if tensor.dtype != np.float64 else np.float32)
        case 3:
            return tensor.reshape(1, *tensor.shape)
        case _:
            flat = tensor.copy().reshape(-1)
            if len(flat):
                at = random.integers(len(flat), size=random.integers(1, 6))
                choices = _CHOICES.get(flat.dtype.kind, _CHOICES["f"])
                flat[at] = random.choice(np.array(choices, flat.dtype), size=len(at))
            return flat.reshape(tensor.shape)


def resume(recognizer: Recognizer, data: bytes, **options: Any) -> bool:
    """Whether a snapshot is taken; any error but one of ours, of one line, goes on to the caller.

    Args:
        options: of `restore`.
    """
    try:
        stream = recognizer.restore(data, **options)
    except SnapshotError as error:
        _check(error)
        return False
    try:
        if not stream.finished:
            rate = stream._state.resampler.rate if stream._state.resampler else 16_000
            events = stream.accept(np.zeros(rate, np.float32), rate)
            stream.gap(10)
            stream.tentative()
            for event in events + stream.finish():
                assert getattr(event, "start", 0) >= 0, event
        again = stream.save()
    except PhonestreamError as error:  # of numbers that the model makes nothing of
        _check(error)
        return True
    recognizer.restore(again, **options)  # a stream that was taken goes on as a valid one
    return True


def _check(error: PhonestreamError) -> None:
    assert "\n" not in str(error), str(error)
