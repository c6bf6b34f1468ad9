"""How to search: the settings of beam search, and what they may be."""

from dataclasses import dataclass
from os import PathLike
from typing import Literal, TypeAlias

from ...errors import ConfigError
from ..json_values import is_integer, is_number

BLANK_SCORE = -2.5  # nats
BLANK_SECONDS = 0.04  # the time that it is for
MAX_SIZE = 5000
MAX_DELAY_SECONDS = 60.0


@dataclass(frozen=True)
class BeamSearch:
    """How to search. The defaults were chosen on the dev splits with the bundled models.

    Raises:
        ConfigError: a value is out of its range.
    """

    size: int = 32
    """Prefixes that are kept from row to row."""
    lm: str | PathLike[str] | None = "default"
    """A language model: the name of a bundled one, a file made by `phonestream phone-lm`, or an ARPA file of phones."""
    lm_weight: float = 0.65
    """Of the language model's log-probability; 1 trusts it as much as the acoustic model."""
    blank_score: float | None = None
    """Nats added for each 40 ms of blanks: below 0 there are more phones, above 0 fewer. None: `BLANK_SCORE` with a
    language model, which by itself favours what is short, and 0 without."""
    acoustic_scale: float = 0.75
    """Factor of the acoustic model's log-probabilities. CTC's rows are surer than they should be of one way to say a
    prefix; below 1, its other ways count for more beside it, and so does the language model."""
    threshold: float = 6.0
    """Nats below the best prefix at which a prefix is given up."""
    delay_seconds: float = 0.5
    """A phone is final no later than so long after its first row. Prefixes that differ further back are given up."""

    def __post_init__(self) -> None:
        lm = self.lm
        _require("lm", lm, "a name, a path or None", lm is None or isinstance(lm, str | PathLike))
        _require(
            "size", self.size, f"a whole number from 1 to {MAX_SIZE}", is_integer(self.size, 1, MAX_SIZE)
        )
        for name, low, high in (
            ("lm_weight", 0, 100),
            ("blank_score", -100, 100),
            ("acoustic_scale", 0.01, 100),
            ("threshold", 0.1, 1000),
            ("delay_seconds", 0.1, MAX_DELAY_SECONDS),
        ):
            value = getattr(self, name)
            default = name == "blank_score" and value is None
            _require(
                name, value, f"a number from {low:g} to {high:g}", default or is_number(value, low, high)
            )


def _require(name: str, value: object, expected: str, holds: bool) -> None:
    if not holds:
        raise ConfigError(f"beam search: {name}={value!r}: expected {expected}")


N_BEST = BeamSearch(size=100, threshold=10.0, delay_seconds=10.0)
"""For alternatives to a whole recording: they reach further back."""

Decoding: TypeAlias = Literal["beam", "greedy"] | BeamSearch
"""How to decode: "beam" is `BeamSearch()`, "greedy" the best path."""


def check_decoding(decoder: object) -> BeamSearch | None:
    """The search that `decoder` asks for, None for greedy decoding.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(decoder, BeamSearch):
        return decoder
    if decoder == "beam":
        return BeamSearch()
    if decoder == "greedy":
        return None
    raise ConfigError(f"decoder={repr(decoder)[:60]}: expected 'beam', 'greedy' or a BeamSearch")
