"""What a stream tells as it goes on, as JSON: `phonestream listen --format json` and the server speak the same."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar

from .decode import Phone
from .endpoint import Endpoint
from .spotting.change import CommandsSet, KeywordsSet
from .spotting.commands import CommandResult
from .spotting.spotter import Spotted
from .stream import Lost
from .visemes import Viseme


class Listening(NamedTuple):
    """A microphone is open, and from now on is heard."""

    device: str
    sample_rate: int
    """The device's own, in Hz."""
    model: str
    look_ahead_seconds: float
    """Of audio after a phone that the model must hear before it can say so."""


class Tentative(NamedTuple):
    """The best guess at what follows the phones that are final, in place of the guess before."""

    phones: tuple[Phone, ...]


class Final(NamedTuple):
    """The end of a stream: nothing comes after it."""

    seconds: float
    """Of audio, lost audio included."""
    lost_seconds: float


class Refused(NamedTuple):
    """What was asked for cannot be done, and nothing has changed; the stream goes on."""

    message: str


class Failure(NamedTuple):
    """The stream cannot go on; what was wrong, where, and what to do."""

    message: str


Event: TypeAlias = (
    Phone
    | Viseme
    | Tentative
    | Endpoint
    | Lost
    | Spotted
    | CommandResult
    | KeywordsSet
    | CommandsSet
    | Refused
    | Listening
    | Final
    | Failure
)

E = TypeVar("E", bound=Event)

KINDS: dict[str, type[Event]] = {
    "listening": Listening,
    "phone": Phone,
    "viseme": Viseme,
    "tentative": Tentative,
    "endpoint": Endpoint,
    "lost": Lost,
    "spotted": Spotted,
    "command": CommandResult,
    "keywords": KeywordsSet,
    "commands": CommandsSet,
    "refused": Refused,
    "error": Failure,
    "final": Final,
}
"""What each kind of event is called in JSON."""

DIGITS = 3  # times to the millisecond, confidences to a thousandth

_NAMES = {kind: name for name, kind in KINDS.items()}


def encode(event: Event) -> dict[str, Any]:
    """An event as an object that `json.dumps` takes: what it is, then its fields in order, rounded to `DIGITS`.

    What is not known of a phone, such as `word_start` of greedy decoding, is left out.

    >>> encode(Phone("HH", 0.12, 0.2, 0.98, peak=0.15))
    {'event': 'phone', 'symbol': 'HH', 'start': 0.12, 'end': 0.2, 'confidence': 0.98, 'peak': 0.15}
    """
    if isinstance(event, Tentative):
        return {"event": "tentative", "phones": [fields(phone) for phone in event.phones]}
    return {"event": _NAMES[type(event)], **fields(event)}


def fields(value: Any) -> dict[str, Any]:
    """What a named tuple holds as `json.dumps` takes it: numbers rounded to `DIGITS`, and of a phone what is known."""
    return {
        name: round(content, DIGITS) if isinstance(content, float) else content
        for name, content in value._asdict().items()
        if content is not None or not isinstance(value, Phone)
    }


def decode(encoded: Mapping[str, Any]) -> Event:
    """The event that `encode` made `encoded` of, but for the digits that rounding took.

    Fields that are not known here are left out: a later version may have added them.

    Raises:
        KeyError: it is of no known kind, or lacks a field.
    """
    kind = KINDS[encoded["event"]]
    if kind is Tentative:
        return Tentative(tuple(_event(Phone, phone) for phone in encoded["phones"]))
    return _event(kind, encoded)


def _event(kind: type[E], encoded: Mapping[str, Any]) -> E:
    usual = kind._field_defaults
    return kind(**{field: encoded[field] for field in kind._fields if field in encoded or field not in usual})
