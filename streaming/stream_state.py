"""What a stream is between two calls, as one value, and the events that it gives. `state.py` has the steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from .arrays import FloatArray
from .audio.recording import Lost as Lost
from .audio.resample import ResamplerState
from .decode import DecoderState, Phone
from .decoding.stream_search import Search
from .endpoint import Endpoint, EndpointConfig, EndpointState
from .silence import NOTHING_HEARD, Silence
from .spotting.command_state import Commanding
from .spotting.commands import CommandResult
from .spotting.spotter import Spotted, Spotting

MAX_ROWS = 2**30
"""Rows that a stream may have when more audio comes: 497 days where a row is 40 ms. Searches count in 32 bits."""


Event: TypeAlias = Phone | Endpoint | Lost | Spotted | CommandResult


class Gap(NamedTuple):
    """Audio that never arrived, in samples at the stream's rate; `Lost` is what is said of it."""

    first: int
    samples: int

    @property
    def end(self) -> int:
        return self.first + self.samples

    def event(self, rate: int) -> Lost:
        return Lost(self.first / rate, self.samples / rate)


class Endpointing(NamedTuple):
    """What a stream with endpoints has beside the others."""

    config: EndpointConfig
    state: EndpointState = EndpointState()
    pending_gaps: tuple[Gap, ...] = ()
    """Gaps not yet emitted as `Lost` events, one for each call: no row has reached them."""


@dataclass(frozen=True, eq=False)
class StreamState:
    """The whole of a stream. Arrays in it are never written to, so that copies may share them."""

    model: Mapping[str, FloatArray]
    """The graph's state tensors, of batch 1."""
    pending: FloatArray
    """[n] samples at the model's rate that are not a whole frame yet."""
    resampler: ResamplerState | None = None
    """None until the first samples fix the stream's rate. Its `received` is the audio clock."""
    frames: int = 0
    """Frames that the graph has heard."""
    silence: Silence = NOTHING_HEARD
    decoder: DecoderState = field(default_factory=DecoderState)
    posteriors: tuple[FloatArray, ...] | None = None
    """Rows of log-probabilities that nobody has taken yet; None where they are not kept."""
    lost: tuple[Gap, ...] = ()
    """In order, never touching."""
    finished: bool = False
    endpoints: Endpointing | None = None
    search: Search | None = None
    """Not None: phones are this search's, and `decoder` only counts rows."""
    spotting: Spotting | None = None
    """Where keywords are looked for."""
    commands: Commanding | None = None
    """Where each utterance is compared with commands: never without `endpoints`."""

    def replace(self, **changes: Any) -> "StreamState":
        """`dataclasses.replace` in a fraction of its time, for what changes with every call of the graph.

        Raises:
            TypeError: there is no such field.
        """
        fields = {**self.__dict__, **changes}
        if len(fields) > len(self.__dict__):
            raise TypeError(
                f"a stream's state has no field {(changes.keys() - self.__dict__.keys()).pop()!r}"
            )
        after = object.__new__(StreamState)
        after.__dict__.update(fields)
        return after

    @property
    def received(self) -> int:
        """Samples so far at the stream's own rate, lost ones included."""
        return self.resampler.received if self.resampler else 0

    @property
    def until(self) -> float:
        """Where the last phone that was emitted ended, in seconds."""
        return (self.decoder if self.search is None else self.search.state).tiling.until

    @property
    def seconds(self) -> float:
        return self.received / self.resampler.rate if self.resampler else 0.0
