"""The messages of `/v1/stream`, version 1: what a client may send, what the server answers, and how it closes.

docs/protocol.md describes them to people who write clients. Everything here takes text or bytes from a stranger
and gives checked values, or a `RefusedError` that says what was wrong and which close code goes with it.
"""

import base64
import binascii
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from ...errors import PhonestreamError
from ..arrays import AnyArray
from ..audio.samples import check_samples
from ..events import Event as StreamEvent
from ..events import encode
from ..pool.results import Posteriors, Snapshot
from ..spotting.keywords import THRESHOLD, check_threshold

VERSION = 1
STREAM_PATH = "/v1/stream"
MIN_RATE, MAX_RATE = 8_000, 192_000  # Hz, what microphones and files have
ENCODINGS: dict[str, np.dtype[Any]] = {"int16": np.dtype("<i2"), "float32": np.dtype("<f4")}


FLAGS = ("endpoints", "posteriors", "tentative")
"""Of the opening: what is wanted beside phones."""

MAX_KEYWORDS, MAX_COMMANDS = 100, 500  # of a stream: each costs all streams of the server something


class Close(IntEnum):
    """How a WebSocket ends. Below 4000: RFC 6455, section 7.4.1, and IANA's registry."""

    DONE = 1000
    GONE = 1006
    TOO_BIG = 1009
    BROKEN = 1011
    RESTART = 1012
    BUSY = 1013
    BAD_MESSAGE = 4000
    BAD_AUDIO = 4001
    BAD_SNAPSHOT = 4002
    UNAUTHORISED = 4003
    IDLE = 4004
    TOO_LONG = 4005
    STALLED = 4006


RESUMABLE = (Close.RESTART, Close.IDLE)
"""Where the client did nothing wrong in what it sent: it is handed a snapshot before the close."""


class RefusedError(PhonestreamError):
    """The connection ends, with this code, because of what the other side did."""

    def __init__(self, code: Close, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Opening:
    """The first message: what will come, and what is wanted."""

    rate: int
    encoding: str = "int16"
    endpoints: bool = False
    posteriors: bool = False
    tentative: bool = False
    keywords: tuple[str, ...] = ()
    threshold: float = THRESHOLD
    """The least score of a keyword that is told, and of a command that is accepted."""
    commands: tuple[str, ...] = ()
    visemes: str | None = None
    """A set of mouth shapes that are told beside phones."""
    snapshot: bytes | None = None
    token: str | None = None


class Gap(NamedTuple):
    """So many samples were lost on the way."""

    samples: int


class SetKeywords(NamedTuple):
    """Other keywords are to be looked for, after all that was sent before."""

    keywords: tuple[str, ...]
    threshold: float = THRESHOLD


class SetCommands(NamedTuple):
    """Utterances are to be compared with other commands, after all that was sent before."""

    commands: tuple[str, ...]
    threshold: float = THRESHOLD


class Finish(NamedTuple):
    """No more audio will come."""


class Save(NamedTuple):
    """A snapshot is wanted, of the stream after all that was sent before."""


Control = Gap | SetKeywords | SetCommands | Finish | Save


class Ready(NamedTuple):
    """The first answer: audio may come now."""

    version: int
    model: str
    sha256: str  # of the model file: a snapshot resumes where it is the same
    phones: list[str]
    rate: int
    look_ahead_ms: float
    seconds: float
    """The audio clock: 0, or where the snapshot was taken."""


Event = StreamEvent | Ready | Snapshot | Posteriors


def read_opening(text: str) -> Opening:
    """The opening message.

    Raises:
        RefusedError: it is not one, or of another version.
    """
    message = _object(text)
    if "version" not in message:
        raise _bad(
            f'opening: version is missing: a stream begins with {{"version": {VERSION}, "rate": …}}, not with '
            f"{_show(text)}"
        )
    version = message.pop("version")
    if type(version) is not int or version != VERSION:
        raise _bad(f"opening: version {_show(version)}: this server speaks version {VERSION}")
    _known(message, [field.name for field in fields(Opening)], "opening")
    rate, encoding, token = message.get("rate"), message.get("encoding", "int16"), message.get("token")
    if type(rate) is not int or not MIN_RATE <= rate <= MAX_RATE:
        raise _bad(
            f"opening: rate {_show(rate)}: expected a whole number of Hz from {MIN_RATE} to {MAX_RATE}"
        )
    if not isinstance(encoding, str) or encoding not in ENCODINGS:
        raise _bad(f"opening: encoding {_show(encoding)}: expected one of {', '.join(ENCODINGS)}")
    for name in ("token", "visemes"):
        if not isinstance(message.get(name), str | None):
            raise _bad(f"opening: {name}: expected a string")
    wanted = {name: message.get(name, False) for name in FLAGS}
    for name, value in wanted.items():
        if type(value) is not bool:
            raise _bad(f"opening: {name} {_show(value)}: expected true or false")
    return Opening(
        rate,
        encoding,
        **wanted,
        keywords=_phrases(message, "keywords", MAX_KEYWORDS),
        commands=_phrases(message, "commands", MAX_COMMANDS),
        threshold=_threshold(message.get("threshold", THRESHOLD)),
        visemes=message.get("visemes"),
        snapshot=_snapshot(message.get("snapshot")),
        token=token,
    )


def write_opening(opening: Opening) -> str:
    """The message that `read_opening` reads."""
    message: dict[str, Any] = {"version": VERSION, "rate": opening.rate, "encoding": opening.encoding}
    message |= {name: True for name in FLAGS if getattr(opening, name)}
    for name, phrases in (("keywords", opening.keywords), ("commands", opening.commands)):
        if phrases:
            message |= {name: list(phrases), "threshold": opening.threshold}
    if opening.visemes is not None:
        message["visemes"] = opening.visemes
    if opening.snapshot is not None:
        message["snapshot"] = _text(opening.snapshot)
    if opening.token is not None:
        message["token"] = opening.token
    return json.dumps(message)


def read_control(text: str) -> Control:
    """A message among the audio.

    Raises:
        RefusedError: it is none that this version knows.
    """
    message = _object(text)
    if "type" not in message:
        what = "a second opening" if "version" in message else "a message without type"
        raise _bad(f"{what}: after the opening come audio, gap, keywords, commands, snapshot and finish")
    kind = message.pop("type")
    if kind == "gap":
        samples = message.pop("samples", None)
        if type(samples) is not int or samples < 0:
            raise _bad(f"gap: samples {_show(samples)}: expected a whole number from 0 on")
        control: Control = Gap(samples)
    elif kind in ("keywords", "commands"):
        if kind not in message:
            raise _bad(f"{kind}: field {kind} is missing: give a list of strings, an empty one for none")
        most, make = (MAX_KEYWORDS, SetKeywords) if kind == "keywords" else (MAX_COMMANDS, SetCommands)
        phrases = _phrases(message, kind, most, kind)
        threshold = _threshold(message.pop("threshold", THRESHOLD), kind)
        message.pop(kind)
        control = make(phrases, threshold)
    elif kind == "finish":
        control = Finish()
    elif kind == "snapshot":
        control = Save()
    else:
        raise _bad(f"type {_show(kind)}: expected gap, keywords, commands, finish or snapshot")
    _known(message, [], str(kind))
    return control


def write_control(control: Control) -> str:
    """The message that `read_control` reads."""
    if isinstance(control, Gap):
        return json.dumps({"type": "gap", "samples": control.samples})
    if isinstance(control, SetKeywords | SetCommands):
        kind = "keywords" if isinstance(control, SetKeywords) else "commands"
        return json.dumps({"type": kind, **control._asdict()})
    return json.dumps({"type": "finish" if isinstance(control, Finish) else "snapshot"})


def read_audio(data: bytes, encoding: str) -> AnyArray:
    """Samples [n] of a binary message, checked.

    Raises:
        RefusedError: half a sample, or one that is not finite or far beyond full scale.
    """
    kind = ENCODINGS[encoding]
    if len(data) % kind.itemsize:
        raise RefusedError(
            Close.BAD_AUDIO,
            f"a message of {len(data)} bytes of audio: {encoding} samples have {kind.itemsize} bytes each, "
            "and a message holds whole ones",
        )
    samples = np.frombuffer(data, kind)
    if kind.kind == "i":  # any are samples
        return samples
    try:
        return check_samples(samples)
    except PhonestreamError as error:
        raise RefusedError(Close.BAD_AUDIO, str(error)) from None


def write_event(event: Event) -> str:
    """What the server says, as one JSON object: `event` names its kind."""
    if isinstance(event, Ready):
        return json.dumps({"event": "ready", **event._asdict()})
    if isinstance(event, Snapshot):
        return json.dumps({"event": "snapshot", "samples": event.samples, "data": _text(event.data)})
    if isinstance(event, Posteriors):
        count, labels = event.rows.shape
        data = _text(event.rows.astype("<f4", copy=False).tobytes())
        return json.dumps({"event": "posteriors", "rows": count, "columns": labels, "data": data})
    return json.dumps(encode(event))


def read_snapshot(event: Mapping[str, Any]) -> Snapshot:
    """The other way for `snapshot`."""
    return Snapshot(event["samples"], base64.b64decode(event["data"], validate=True))


def read_posteriors(event: Mapping[str, Any]) -> Posteriors:
    """The other way for `posteriors`."""
    flat = np.frombuffer(base64.b64decode(event["data"], validate=True), "<f4")
    return Posteriors(flat.reshape(event["rows"], event["columns"]).astype(np.float32, copy=False))


def _object(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise _bad("a text message that is not JSON; audio goes into binary messages") from None
    if not isinstance(message, dict):
        raise _bad("a text message that is not a JSON object")
    return message


def _known(message: Mapping[str, Any], names: Collection[str], where: str) -> None:
    surplus = sorted(message.keys() - set(names))
    if surplus:
        raise _bad(f"{where}: unknown field {_show(surplus[0])}; check its spelling")


def _phrases(message: Mapping[str, Any], name: str, most: int, where: str = "opening") -> tuple[str, ...]:
    value = message.get(name, [])
    if not isinstance(value, list) or not all(isinstance(phrase, str) for phrase in value):
        raise _bad(f"{where}: {name} {_show(value)}: expected a list of strings")
    if len(value) > most:
        raise _bad(f"{where}: {len(value):,} {name}: a stream may have {most}")
    return tuple(value)


def _threshold(value: Any, where: str = "opening") -> float:
    try:
        return check_threshold(value, "threshold")
    except PhonestreamError as error:
        raise _bad(f"{where}: {error}") from None


def _snapshot(value: Any) -> bytes | None:
    if value is None:
        return None
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise RefusedError(
            Close.BAD_SNAPSHOT, "opening: snapshot: expected the base64 text of a snapshot"
        ) from None


def _bad(message: str) -> RefusedError:
    return RefusedError(Close.BAD_MESSAGE, message)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _show(value: Any) -> str:
    return repr(value)[:60]
