"""Lost audio in constant time: where a stream hears nothing but zeros and repeats itself, the rest is skipped.

Zeros are silence (`silence.py`), and in silence a model's sums go back at each interval. What else it carries looks
back a few frames. So after some seconds of zeros a stream is at the end of each interval what it was at the end of the
one before, but for its clocks. Once that has been seen to be so, further intervals bring nothing new, and only the
clocks go on: 24 hours take as long as ten seconds. Where it is never seen, as in a model that hears phones in zeros,
nothing is skipped.
"""

from dataclasses import replace
from math import gcd
from typing import NamedTuple

import numpy as np

from . import silence
from .arrays import FloatArray
from .decoding.stream_search import Search
from .model import Model
from .row_events import decode_blanks
from .spotting.spotter import Spotting
from .stream_state import Event, StreamState

TOLERANCE = 1e-4  # of state tensors: a call for many streams rounds otherwise than one for few


class Mark(NamedTuple):
    """A stream in silence, to be compared with what it is a period later."""

    frames: int
    quiet: int
    model: dict[str, FloatArray]
    """Copies: in a pool the state's own are overwritten."""
    search: Search | None
    spotting: Spotting | None


class Period(NamedTuple):
    """The shortest time that is a whole number of intervals and of samples."""

    samples: int  # at the stream's rate
    frames: int


def period(model: Model, rate: int) -> Period | None:
    """That of a stream at `rate` Hz, at most 16 s of usual models; None for a model without a rule on silence."""
    meta = model.metadata
    if meta.silence is None:
        return None
    frames = meta.silence.interval_frames
    scaled = frames * meta.frame_samples * rate
    times = meta.sample_rate // gcd(scaled, meta.sample_rate)
    return Period(times * scaled // meta.sample_rate, times * frames)


def is_idle(state: StreamState) -> bool:
    """Whether all that a stream has still to hear is zeros."""
    tail = None if state.resampler is None else state.resampler.tail
    return not state.pending.any() and (tail is None or not tail.any())


def mark(model: Model, state: StreamState) -> Mark | None:
    """A stream as it is now; None where nothing could be skipped."""
    meta = model.metadata
    if (
        not silence.may_be_silent(meta.silence, state.silence.quiet, state.frames)
        or state.frames < meta.look_ahead_frames
        or state.posteriors is not None
        or state.decoder.is_open
        or not is_idle(state)
    ):
        return None
    model_state = {name: np.array(state.model[name]) for name in state.model}
    return Mark(state.frames, state.silence.quiet, model_state, state.search, state.spotting)


def repeats(before: Mark, state: StreamState) -> bool:
    """Whether a stream that has heard nothing but zeros since `before` is what it was, but for its clocks."""
    frames = state.frames - before.frames
    return (
        state.silence.quiet - before.quiet == frames
        and not state.decoder.is_open
        and all(
            np.allclose(state.model[name], tensor, rtol=TOLERANCE, atol=TOLERANCE)
            for name, tensor in before.model.items()
        )
        and (state.search is None or state.search.repeats(before.search))
        and (state.spotting is None or state.spotting.repeats(before.spotting))
    )


def skip(model: Model, state: StreamState, samples: int) -> tuple[int, list[Event], StreamState]:
    """Pass over as many whole periods as there are in the next `samples`, which are zeros, of a stream that repeats.

    Returns:
        How many samples are done with, the events in that time (endpoints, and gaps that are told with them), the
        next state.
    """
    resampler = state.resampler
    assert resampler is not None
    each = period(model, resampler.rate)
    times = 0 if each is None else samples // each.samples
    if each is None or not times:
        return 0, [], state
    frames, count = times * each.frames, times * each.samples
    events, state = decode_blanks(model.metadata, state, frames * model.metadata.rows_per_frame)
    return (
        count,
        events,
        replace(
            state,
            resampler=resampler._replace(received=resampler.received + count),
            frames=state.frames + frames,
            silence=state.silence._replace(quiet=state.silence.quiet + frames),
        ),
    )
