"""What a model file says about itself: written by export, read back and checked before a model is used."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..errors import ModelError
from .arrays import FloatArray
from .audio.samples import MAX_RATE, MIN_RATE
from .decode import Decoder
from .json_values import is_integer, is_number, is_text
from .silence import SilenceRule, default_rule

FORMAT = 1
FORMAT_KEY = "phonestream_format"
AUDIO, LOG_PROBS, NEXT = "audio", "log_probs", "next_"  # the graph's fixed names; NEXT is a prefix
EXPORT_AGAIN = "export the model again with `phonestream export`"
ENCODER_KEY = "encoder"
"""Beside `ModelMetadata`'s own keys, in files that export wrote: the shape of the encoder, to read weights back."""
MAX_LOOK_AHEAD_SECONDS = 10.0
MAX_OFFSET_SECONDS = 5.0  # no CTC model says a phone so late
BATCH = "batch"  # stands for the batch's size in the shape of a state


class StateSpec(NamedTuple):
    """One state tensor of the graph: input `name`, output `next_<name>`, float32, zeros at first."""

    name: str
    shape: tuple[int | str, ...]  # one entry is "batch"

    @property
    def batch_axis(self) -> int:
        return self.shape.index(BATCH)

    def sized(self, batch: int) -> tuple[int, ...]:
        """The shape for `batch` streams."""
        return tuple(batch if isinstance(size, str) else size for size in self.shape)

    def zeros(self, batch: int) -> FloatArray:
        return np.zeros(self.sized(batch), np.float32)


@dataclass(frozen=True)
class ModelMetadata:
    """The metadata of a model file, one field for each key of its `custom_metadata_map`.

    Raises:
        ModelError: a field is of the wrong type or out of range; the message names it.
    """

    name: str
    version: str
    licence: str
    training_data: str
    """What it was trained on, with licences and credits, for a person to read."""
    phones: tuple[str, ...]
    """Symbols in the order of the columns of `log_probs`, which has one column more: the blank's."""
    blank: int
    """Column of the CTC blank; the phones take the other columns in order."""
    sample_rate: int
    """Hz, of the audio that the graph hears."""
    frame_samples: int
    """Samples of an encoder frame; the graph takes multiples of it."""
    rows_per_frame: int
    """Rows of `log_probs` for each frame."""
    look_ahead_frames: int
    """Frames by which rows come late; so many are discarded at the start, and fed as zeros at the end."""
    time_offset_seconds: float
    """How much later than the phones the rows' times are on average; subtracted from every time."""
    temperature: float
    """Confidences are softmax(log_probs / temperature)."""
    states: tuple[StateSpec, ...]
    silence: SilenceRule | None = None
    """What silence must not change; None: it is heard like anything else. A file that lacks the key, as those of before
    the rule do, has `silence.default_rule` of its states."""

    def __post_init__(self) -> None:
        for key, expected, holds in _RULES:
            if not holds(self, getattr(self, key)):
                raise ModelError(
                    f"metadata {key!r} must be {expected}, not {_shown(getattr(self, key))}; {EXPORT_AGAIN}"
                )

    @property
    def row_seconds(self) -> float:
        """What one row of `log_probs` stands for."""
        return self.frame_samples / self.rows_per_frame / self.sample_rate

    @cached_property
    def decoder(self) -> Decoder:
        """Greedy decoding of this model's rows."""
        return Decoder(
            symbols=(*self.phones[: self.blank], "", *self.phones[self.blank :]),
            blank=self.blank,
            row_seconds=self.row_seconds,
            time_offset_seconds=self.time_offset_seconds,
            temperature=self.temperature,
        )

    def to_map(self) -> dict[str, str]:
        """The ONNX file's `custom_metadata_map`: the format's number and each field, as JSON."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        values["states"] = [spec._asdict() for spec in self.states]
        values["silence"] = None if self.silence is None else asdict(self.silence)
        return {key: json.dumps(value) for key, value in ({FORMAT_KEY: FORMAT} | values).items()}

    @classmethod
    def from_map(cls, metadata: Mapping[str, str]) -> "ModelMetadata":
        """Read back `to_map`. Keys of other tools are ignored.

        Raises:
            ModelError: not a Phonestream model, another format, or a key missing, unreadable, of the
                wrong type or out of range.
        """
        if FORMAT_KEY not in metadata:
            raise ModelError(
                f"an ONNX file, but not a Phonestream model (no metadata {FORMAT_KEY!r}): "
                "models are made by `phonestream export`"
            )
        version = _value(metadata, FORMAT_KEY)
        if type(version) is not int or version != FORMAT:
            raise ModelError(
                f"metadata {FORMAT_KEY!r} is {_shown(version)}, and this version of Phonestream reads "
                f"{FORMAT}: install the version that made the file, or export the model again"
            )
        values = {
            field.name: _value(metadata, field.name) for field in fields(cls) if field.name != "silence"
        }
        if isinstance(values["phones"], list):
            values["phones"] = tuple(values["phones"])
        values["states"] = _states(values["states"])
        read = cls(**values)
        _check_encoder(read, metadata)
        if "silence" in metadata:
            return replace(read, silence=_silence(_value(metadata, "silence")))
        return replace(read, silence=default_rule(spec.name for spec in read.states))


def _value(metadata: Mapping[str, str], key: str) -> Any:
    if key not in metadata:
        raise ModelError(f"metadata {key!r} is missing: {EXPORT_AGAIN}")
    try:
        return json.loads(metadata[key])
    except (ValueError, RecursionError):
        raise ModelError(f"metadata {key!r} is not JSON: {_shown(metadata[key])}; {EXPORT_AGAIN}") from None


def _check_encoder(model: ModelMetadata, metadata: Mapping[str, str]) -> None:
    """What is said twice, for the graph and for training, must be the same.

    Raises:
        ModelError: it is not.
    """
    try:
        encoder = _value(metadata, ENCODER_KEY)
    except ModelError:  # there is none, or it is damaged, which is told where it is used
        return
    if not isinstance(encoder, dict):
        return
    for key in ("look_ahead_frames", "rows_per_frame"):
        if key in encoder and encoder[key] != getattr(model, key):
            raise ModelError(
                f"metadata {key!r} is {getattr(model, key)}, and {_shown(encoder[key])} in {ENCODER_KEY!r}; "
                f"{EXPORT_AGAIN}"
            )


def _states(value: Any) -> Any:
    """JSON's lists and objects as `StateSpec`s; what is not of that form is left for the rules to refuse."""
    if not isinstance(value, list):
        return value
    return tuple(
        StateSpec(entry["name"], tuple(entry["shape"]))
        if isinstance(entry, dict) and entry.keys() == {"name", "shape"} and isinstance(entry["shape"], list)
        else entry
        for entry in value
    )


def _silence(value: Any) -> Any:
    """JSON's object as a `SilenceRule`; what is not of that form is left for the rules to refuse."""
    keys = {field.name for field in fields(SilenceRule)}
    if not (isinstance(value, dict) and keys - {"fading_heads"} <= value.keys() <= keys):
        return value
    if not isinstance(value["states"], list):
        return value
    return SilenceRule(**value | {"states": tuple(value["states"])})


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"


def _spec(value: Any) -> bool:
    return (
        isinstance(value, StateSpec)
        and is_text(value.name)
        and value.name not in (AUDIO, LOG_PROBS)
        and not value.name.startswith(NEXT)
        and all(size == BATCH or is_integer(size, 1, 2**31 - 1) for size in value.shape)
        and value.shape.count(BATCH) == 1
    )


def _silence_rule(model: ModelMetadata, value: Any) -> bool:
    return value is None or (
        isinstance(value, SilenceRule)
        and all(map(is_text, value.states))
        and 0 < len(value.states) == len({*value.states} & {spec.name for spec in model.states})
        and is_number(value.blank_probability)
        and 0 < value.blank_probability < 1
        and is_integer(value.interval_frames, 1, 1000)
        and is_integer(value.after_frames, 0, 1000)
        and is_integer(value.fading_heads, 0, 2**31 - 1)
        and (
            value.fading_heads == 0
            or all(_has_heads(model, name, value.fading_heads) for name in value.states)
        )
    )


def _has_heads(model: ModelMetadata, name: str, fewer: int) -> bool:
    """Whether a state is `[batch, heads, …]` with more heads than `fewer`."""
    (shape,) = (spec.shape for spec in model.states if spec.name == name)
    return shape[0] == BATCH and len(shape) > 1 and isinstance(shape[1], int) and shape[1] > fewer


def _is_symbol(value: Any) -> bool:
    """Whether it can stand for a phone in every format."""
    return is_text(value) and value.isprintable() and not any(sign.isspace() for sign in value)


def _distinct(values: Any) -> bool:
    return len(set(values)) == len(values)


def _heard(model: ModelMetadata) -> float:
    """Seconds of audio beyond a phone's last row that have been heard by the time the phone is emitted."""
    return model.look_ahead_frames * model.frame_samples / model.sample_rate + model.row_seconds


# Checked in this order, so that a rule may rely on those before it.
_RULES: tuple[tuple[str, str, Callable[[ModelMetadata, Any], bool]], ...] = (
    *(
        (key, "a text", lambda _, value: is_text(value))
        for key in ("name", "version", "licence", "training_data")
    ),
    (
        "phones",
        "a list of different texts without spaces and control characters, which formats put between phones",
        lambda _, value: (
            isinstance(value, tuple) and all(map(_is_symbol, value)) and _distinct(value) and value != ()
        ),
    ),
    (
        "blank",
        "a column, from 0 to the number of phones",
        lambda model, value: is_integer(value, 0, len(model.phones)),
    ),
    ("sample_rate", "a whole number of Hz", lambda _, value: is_integer(value, MIN_RATE, MAX_RATE)),
    ("frame_samples", "a whole number from 1 on", lambda _, value: is_integer(value, 1, MAX_RATE)),
    (
        "rows_per_frame",
        "a whole number that divides frame_samples",
        lambda model, value: is_integer(value, 1, model.frame_samples) and model.frame_samples % value == 0,
    ),
    (
        "look_ahead_frames",
        f"a whole number from 0 to 1000, of {MAX_LOOK_AHEAD_SECONDS:g} s at most",
        lambda model, value: (
            is_integer(value, 0, 1000)
            and value * model.frame_samples <= MAX_LOOK_AHEAD_SECONDS * model.sample_rate
        ),
    ),
    (
        "time_offset_seconds",
        "a number of seconds above minus the look-ahead and a row (no phone can end after what has been heard) "
        f"and at most {MAX_OFFSET_SECONDS:g}",
        lambda model, value: is_number(value) and -_heard(model) <= value <= MAX_OFFSET_SECONDS,
    ),
    ("temperature", "a number from 0.01 to 100", lambda _, value: is_number(value) and 0.01 <= value <= 100),
    (
        "states",
        'a list of {name, shape}, the names all different, each shape of whole numbers and one "batch"',
        lambda _, value: (
            isinstance(value, tuple) and all(map(_spec, value)) and _distinct([spec.name for spec in value])
        ),
    ),
    (
        "silence",
        "null, or {states, blank_probability, interval_frames, after_frames, fading_heads}: names of states, a number "
        "between 0 and 1, whole numbers from 1 and from 0 to 1000, fewer heads than each of the states has",
        _silence_rule,
    ),
)
