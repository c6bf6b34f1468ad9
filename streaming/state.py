"""What a stream is between two calls, as one value, and the pure steps from one such value to the next.

Audio goes through four steps, each of which takes a state and hands back another:

    hear      samples at any rate are resampled and wait in `pending`
    frames    whole frames are cut off `pending` ...
    Model.run ... and run through the graph, which needs only the audio and the model's own state
    absorb    rows become phones

`advance` is the middle two for one stream alone. Many streams can share a call of the graph by concatenating
their frames and model states along the batch axis in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from . import resample
from .arrays import Floats
from .decode import DecoderState, Phone, clip
from .resample import ResamplerState
from .session import Model


@dataclass(frozen=True, eq=False)
class StreamState:
    """The whole of a stream. Arrays in it are never written to, so that copies may share them."""

    model: Mapping[str, Floats]
    """The graph's state tensors, of batch 1."""
    pending: Floats
    """[n] samples at the model's rate that are not a whole frame yet."""
    resampler: ResamplerState | None = None
    """None until the first samples fix the stream's rate. Its `received` is the audio clock."""
    frames: int = 0
    """Frames that the graph has heard."""
    decoder: DecoderState = field(default_factory=DecoderState)
    posteriors: tuple[Floats, ...] | None = None
    """Rows of log-probabilities that nobody has taken yet; None where they are not kept."""
    lost: tuple[tuple[int, int], ...] = ()
    """(first sample, samples) of each gap at the stream's rate, in order, never touching."""
    finished: bool = False

    @property
    def received(self) -> int:
        """Samples so far at the stream's own rate, lost ones included."""
        return self.resampler.received if self.resampler else 0

    @property
    def seconds(self) -> float:
        return self.received / self.resampler.rate if self.resampler else 0.0


def initial(model: Model, posteriors: bool = False) -> StreamState:
    """The state of a stream that has heard nothing."""
    return StreamState(
        model=model.initial_state(),
        pending=np.empty(0, np.float32),
        posteriors=() if posteriors else None,
    )


def hear(model: Model, state: StreamState, samples: Floats, rate: int) -> StreamState:
    """Take in `samples` [n] at `rate` Hz, the stream's own; what is ready then waits in `pending`."""
    resampler = state.resampler or resample.start(rate, model.metadata.sample_rate)
    audio, resampler = resample.resample(resampler, samples)
    # Concatenation also copies: the caller may reuse the buffer that `samples` came in.
    return replace(state, resampler=resampler, pending=np.concatenate([state.pending, audio]))


def frames(model: Model, state: StreamState) -> tuple[Floats, StreamState]:
    """Cut whole frames, at most a block, off the front of `pending`: [frames * frame_samples]."""
    frame = model.metadata.frame_samples
    ready = min(len(state.pending) // frame * frame, model.block_samples)
    return state.pending[:ready], replace(state, pending=state.pending[ready:].copy())


def absorb(
    model: Model, state: StreamState, log_probs: Floats, following: Mapping[str, Floats]
) -> tuple[list[Phone], StreamState]:
    """Decode `log_probs` [rows, phones + 1] that the graph gave for the next frames; take over its state."""
    meta = model.metadata
    heard = len(log_probs) // meta.rows_per_frame
    # Rows come late by the look-ahead: the first ones speak of the time before the stream began.
    early = min(heard, max(0, meta.look_ahead_frames - state.frames)) * meta.rows_per_frame
    rows = log_probs[early:]
    phones, decoder = meta.decoder.decode(state.decoder, rows)
    posteriors = state.posteriors
    if posteriors is not None and len(rows):
        posteriors = (*posteriors, rows)
    return phones, replace(
        state, model=following, frames=state.frames + heard, decoder=decoder, posteriors=posteriors
    )


def advance(model: Model, state: StreamState) -> tuple[list[Phone], StreamState]:
    """Run all whole frames that are pending, a block at a time."""
    phones: list[Phone] = []
    while len(state.pending) >= model.metadata.frame_samples:
        audio, state = frames(model, state)
        log_probs, following = model.run(audio[None], state.model)
        found, state = absorb(model, state, log_probs[0], following)
        phones += found
    return phones, state


def finish(model: Model, state: StreamState) -> tuple[list[Phone], StreamState]:
    """End the stream: N samples at the model's rate come to exactly ceil(N / frame_samples) frames of rows.

    The last frame is filled up with zeros, and the look-ahead fed as zeros to fetch the rows still to come.
    """
    phones: list[Phone] = []
    if state.resampler is not None and state.received > 0:
        frame = model.metadata.frame_samples
        audio = np.concatenate([state.pending, resample.flush(state.resampler)])
        padding = -len(audio) % frame + model.metadata.look_ahead_frames * frame
        padded = np.concatenate([audio, np.zeros(padding, np.float32)])
        phones, state = advance(model, replace(state, pending=padded))
        phones = clip([*phones, *model.metadata.decoder.finish(state.decoder)], state.seconds)
    return phones, replace(state, finished=True, decoder=state.decoder._replace(run=None))
