"""Shape of the acoustic model, and configurations as dataclasses from plain values: every wrong key is an error."""

import dataclasses
import math
import typing
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from ...errors import ConfigError

Attention = Literal["linear-causal", "linear", "softmax", "softmax-causal"]
Decay = Literal["none", "fixed", "learnt"]
T = TypeVar("T")


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of the acoustic model. With `convolution = 0` and `decay = "none"` it is the paper's."""

    mels: int = 40
    subsampling_width: int = 256  # channels between the two strided convolutions
    width: int = 192
    layers: int = 8
    heads: int = 6
    head_width: int = 32  # d_k = d_v
    feed_forward: int = 768
    convolution: int = 9  # taps of the causal depthwise convolution, in encoder frames; 0: none
    attention: Attention = "linear-causal"
    decay: Decay = "fixed"
    shortest_half_life: float = 4.0  # encoder frames, of the head that forgets fastest
    longest_half_life: float = 1024.0  # encoder frames, of the head that forgets slowest
    look_ahead_frames: int = 3  # encoder frames of 40 ms
    # Of those, taps of a look-ahead convolution before the later blocks; 0: none
    look_ahead_convolution: int = 0
    rows_per_frame: int = 1  # CTC rows for each encoder frame
    # Blocks before an intermediate CTC head whose posteriors are fed back; 0: none
    self_condition_after: int = 0

    def __post_init__(self) -> None:
        for name in ("mels", "subsampling_width", "width", "layers", "heads", "head_width", "feed_forward"):
            at_least(self, name, 1)
        if self.convolution != 0:
            at_least(self, "convolution", 2)
        at_least(self, "look_ahead_frames", 0)
        most, layers = self.look_ahead_frames, self.layers
        wanted = f"it must be at least 0 and not above look_ahead_frames, {most}"
        check(self, "look_ahead_convolution", 0 <= self.look_ahead_convolution <= most, wanted)
        at_least(self, "rows_per_frame", 1)
        wanted = f"it must be at least 0 and below layers, {layers}: a block has to come after it to make use of it"
        check(self, "self_condition_after", 0 <= self.self_condition_after < layers, wanted)
        if not 0 < self.shortest_half_life <= self.longest_half_life:
            raise ConfigError(
                f"encoder.shortest_half_life is {self.shortest_half_life} and longest_half_life "
                f"{self.longest_half_life}: both must be positive, the shortest not above the longest"
            )


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain values, for JSON and checkpoints."""
    return dataclasses.asdict(config)


def from_dict(kind: type[T], table: dict[str, Any], prefix: str = "") -> T:
    """Build dataclass `kind` from plain values, checking every key and type.

    Raises:
        ConfigError: naming the key, the value seen and what it may be.
    """
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(table) - set(hints))
    if unknown:
        raise ConfigError(f"unknown key {prefix}{unknown[0]}; known: {', '.join(sorted(hints))}")
    return kind(**{key: _convert(hints[key], value, prefix + key) for key, value in table.items()})


def _convert(hint: Any, value: Any, key: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise ConfigError(f"{key} is {value!r}: expected a table")
        return from_dict(hint, value, key + ".")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{key} is {value!r}: expected one of {', '.join(map(repr, arguments))}")
        return value
    if origin is tuple:
        repeated = len(arguments) == 2 and arguments[1] is Ellipsis
        if not isinstance(value, list | tuple) or not (repeated or len(value) == len(arguments)):
            size = "numbers" if repeated else f"{len(arguments)} numbers"
            raise ConfigError(f"{key} is {value!r}: expected a list of {size}")
        return tuple(_convert(arguments[0], item, key) for item in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{key} is {value!r}: expected a table")
        return {name: _convert(arguments[1], item, f"{key}.{name}") for name, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise ConfigError(f"{key} is {value!r}: expected {hint.__name__}")
    if hint is float and not math.isfinite(value):
        raise ConfigError(f"{key} is {value!r}: expected a finite number")
    return value


def at_least(config: Any, name: str, least: int) -> None:
    """Raise ConfigError unless field `name` is at least `least`."""
    check(config, name, getattr(config, name) >= least, f"it must be at least {least}")


def check(config: Any, name: str, holds: bool, wanted: str, table: str = "") -> None:
    """Raise ConfigError unless what is `wanted` of a field `holds`; `table`, with a dot, is where a recipe has it."""
    if not holds:
        value = getattr(config, name)
        raise ConfigError(f"{table}{name} is {list(value) if isinstance(value, tuple) else value}: {wanted}")
