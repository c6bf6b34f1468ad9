"""How results are written, whatever the format."""

from dataclasses import dataclass

from ..errors import ConfigError
from ..streaming.visemes import VISEMES
from .phone_sets import PHONE_SETS


@dataclass(frozen=True)
class Options:
    """The names of phones, and how text looks.

    Raises:
        ConfigError: a phone set or a set of visemes that is not there; the message lists those that are.
    """

    phone_set: str = "arpabet"
    """One of `PHONE_SETS`."""
    visemes: str | None = None
    """One of `VISEMES`: mouth shapes in the place of phones. A shape is held, so they need intervals."""
    scores: bool = False
    """Whether formats with tiers have one of scores, or confidences."""
    frame_rate: float = 24.0
    """Frames a second, for formats that count them."""
    styled: bool = False
    """Whether text draws doubtful phones faintly, for a terminal."""
    folder: str | None = None
    """Where the result will lie, for formats that say where the recording is; None: beside it."""

    def __post_init__(self) -> None:
        if self.phone_set not in PHONE_SETS:
            raise ConfigError(f"unknown phone set {self.phone_set!r}: choose one of {', '.join(PHONE_SETS)}")
        if self.visemes is not None and self.visemes not in VISEMES:
            raise ConfigError(f"unknown visemes {self.visemes!r}: choose one of {', '.join(VISEMES)}")
