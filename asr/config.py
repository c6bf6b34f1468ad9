"""Configuration of encoder and training: dataclasses with units, read from TOML, every wrong key an error."""

import dataclasses
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..errors import ConfigError

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
    look_ahead_convolution: int = 0  # of those, how many the later blocks hear through a convolution; 0: none
    rows_per_frame: int = 1  # CTC rows for each encoder frame
    self_condition_after: int = 0  # blocks, then an intermediate CTC head whose phones are fed back; 0: none

    def __post_init__(self) -> None:
        for name in ("mels", "subsampling_width", "width", "layers", "heads", "head_width", "feed_forward"):
            _at_least(self, name, 1)
        if self.convolution != 0:
            _at_least(self, "convolution", 2)
        _at_least(self, "look_ahead_frames", 0)
        if not 0 <= self.look_ahead_convolution <= self.look_ahead_frames:
            raise ConfigError(
                f"look_ahead_convolution is {self.look_ahead_convolution}: it must be at least 0 and not above "
                f"look_ahead_frames, {self.look_ahead_frames}"
            )
        _at_least(self, "rows_per_frame", 1)
        if not 0 <= self.self_condition_after < self.layers:
            raise ConfigError(
                f"self_condition_after is {self.self_condition_after}: it must be at least 0 and below layers, "
                f"{self.layers}: a block has to come after it to make use of it"
            )
        if not 0 < self.shortest_half_life <= self.longest_half_life:
            raise ConfigError(
                f"encoder.shortest_half_life is {self.shortest_half_life} and longest_half_life "
                f"{self.longest_half_life}: both must be positive, the shortest not above the longest"
            )


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to a training recording before it is learnt from. Zeros and single values switch a part off."""

    speeds: tuple[float, ...] = (1.0,)  # drawn uniformly; 1.1 is faster and higher
    gain_db: tuple[float, float] = (0.0, 0.0)  # drawn uniformly from this range
    noise_probability: float = 0.0
    noise_snr_db: tuple[float, float] = (5.0, 25.0)
    noise_dir: str = ""  # folder of audio files; relative to the data folder
    music_share: float = (
        0.0  # of the noises: synthesised music in which nobody sings, in place of the folder's
    )
    speechless_probability: float = (
        0.0  # of a recording's place being taken by noise alone, in which nobody speaks
    )
    room_probability: float = 0.0
    room_decay_seconds: tuple[float, float] = (0.1, 0.6)  # until the echo has fallen by 60 dB
    room_direct_db: tuple[float, float] = (0.0, 15.0)  # energy of the direct sound above the echo's
    microphone_probability: float = 0.0
    microphone_deviation_db: float = 4.0  # standard deviation of a microphone's frequency response
    telephone_probability: float = 0.0
    babble_probability: float = 0.0  # of other people speaking behind the speaker, at noise_snr_db
    lead_probability: float = 0.0  # of a state that has heard something before the recording begins
    lead_seconds: tuple[float, float] = (0.3, 60.0)  # drawn uniformly in the logarithm
    vocal_tract: tuple[float, float] = (1.0, 1.0)  # drawn uniformly; 1.1 moves all resonances a tenth higher
    frequency_masks: int = 2
    frequency_mask_mels: int = 10  # widest frequency mask, in mel filters
    time_masks_per_second: float = 0.5
    time_mask_frames: int = 25  # longest time mask, in feature frames of 10 ms
    time_mask_share: float = 0.3  # at most this part of a recording under time masks

    def __post_init__(self) -> None:
        if not self.speeds or min(self.speeds) < 0.5 or max(self.speeds) > 2.0:
            raise ConfigError(f"augment.speeds is {list(self.speeds)}: give factors from 0.5 to 2.0")
        for name in ("gain_db", "noise_snr_db", "room_decay_seconds", "room_direct_db", "vocal_tract"):
            low, high = getattr(self, name)
            if low > high:
                raise ConfigError(
                    f"augment.{name} is [{low}, {high}]: the first must not be above the second"
                )
        if self.vocal_tract[0] < 0.7 or self.vocal_tract[1] > 1.4:
            raise ConfigError(
                f"augment.vocal_tract is {list(self.vocal_tract)}: give factors from 0.7 to 1.4"
            )
        if self.room_decay_seconds[0] < 0.01 or self.room_decay_seconds[1] > 5.0:
            raise ConfigError(
                f"augment.room_decay_seconds is {list(self.room_decay_seconds)}: give seconds from 0.01 to 5"
            )
        if not 0.04 <= self.lead_seconds[0] <= self.lead_seconds[1] <= 600:
            raise ConfigError(
                f"augment.lead_seconds is {list(self.lead_seconds)}: give a range within 0.04 to 600 seconds"
            )
        for kind in ("noise", "speechless", "room", "microphone", "telephone", "babble", "lead"):
            probability = getattr(self, f"{kind}_probability")
            if not 0.0 <= probability <= 1.0:
                raise ConfigError(f"augment.{kind}_probability is {probability}: give a number from 0 to 1")
        if not 0.0 <= self.music_share <= 1.0:
            raise ConfigError(f"augment.music_share is {self.music_share}: give a number from 0 to 1")
        if self.needs_noises and not self.noise_dir and self.music_share < 1:
            raise ConfigError(
                "augment.noise_probability or speechless_probability is above 0 but augment.noise_dir names no "
                "folder of noises"
            )

    @property
    def needs_noises(self) -> bool:
        """Whether recordings of noise are mixed in or take a recording's place."""
        return self.noise_probability > 0 or self.speechless_probability > 0


@dataclass(frozen=True)
class TrainConfig:
    """How long, on what, and with which optimiser."""

    name: str = "phonestream"
    seed: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"  # of the blocks' products; sums stay float32
    steps: int = 5000
    batch_seconds: float = 160.0  # audio in one step, over all processes
    longest_seconds: float = 35.0  # longer recordings are left out, and counted
    optimiser: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 2e-3  # AdamW's peak
    matrix_learning_rate: float = 0.01  # Muon's peak, for the blocks' matrices
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    warmup_steps: int = 300
    cooldown_steps: int = 1500  # the rate falls in a straight line to zero over the last steps
    clip_norm: float = 5.0
    layer_drop: float = 0.1  # probability that a block is skipped in a step
    dropout: float = 0.0  # after each residual branch
    average_decay: float = 0.999  # of the exponentially averaged copy of the weights
    distillation: float = 0.0  # share of the loss that a teacher's rows are, 0 to 1; the rest is CTC's
    intermediate: float = 0.0  # share of the loss that the intermediate CTC head's is, 0 to 1
    consistency: float = (
        0.0  # weight of how far two views of a recording, masked differently, disagree; 0: one view
    )
    evaluate_every: int = 500  # steps between measurements of PER on dev
    evaluate_recordings: int = 100  # of dev, evenly spread; 0: all
    checkpoint_minutes: float = 5.0
    model: EncoderConfig = field(default_factory=EncoderConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        for name in ("steps", "warmup_steps", "evaluate_every"):
            _at_least(self, name, 1)
        _at_least(self, "cooldown_steps", 0)
        for name in ("batch_seconds", "longest_seconds", "learning_rate", "clip_norm", "checkpoint_minutes"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be above 0")
        for name in ("layer_drop", "dropout", "average_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be at least 0 and below 1")
        if not 0 <= self.distillation <= 1:
            raise ConfigError(f"distillation is {self.distillation}: give a number from 0 to 1")
        if not 0 <= self.intermediate < 1:
            raise ConfigError(f"intermediate is {self.intermediate}: it must be at least 0 and below 1")
        if self.intermediate > 0 and not self.model.self_condition_after:
            raise ConfigError(
                f"intermediate is {self.intermediate:g} but the model has no intermediate CTC head: "
                "set model.self_condition_after, or intermediate to 0"
            )
        if not 0 <= self.consistency < math.inf:
            raise ConfigError(
                f"consistency is {self.consistency}: it must be at least 0 and finite; 0.2 is usual"
            )

    @property
    def views(self) -> int:
        """How many times a step hears each recording, each time with masks of its own."""
        return 2 if self.consistency > 0 else 1


def load_config(path: Path) -> TrainConfig:
    """Read a training configuration.

    Raises:
        ConfigError: the file is missing, is not TOML, has a key that does not exist, or a value of the wrong kind.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; give the path of a TOML file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; give the path of a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from None
    try:
        return from_dict(TrainConfig, table)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


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
    if isinstance(origin, types.UnionType):
        raise TypeError(f"no rule for {hint}")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise ConfigError(f"{key} is {value!r}: expected {hint.__name__}")
    return value


def _at_least(config: Any, name: str, least: int) -> None:
    if getattr(config, name) < least:
        raise ConfigError(f"{name} is {getattr(config, name)}: it must be at least {least}")
