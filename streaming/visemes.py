"""Mouth shapes for lip-sync: the tables for `--visemes`, and phones that are heard turned into shapes one by one."""

from collections.abc import Iterable
from types import MappingProxyType
from typing import NamedTuple

from ..errors import ConfigError
from .decode import Phone

_TABLES = {
    # Preston Blair's ten shapes ("Advanced Animation", 1947), in the spelling that lip-sync programs use. Consonants
    # that the chart leaves out of its own shapes are "etc".
    "preston-blair": {
        "": "rest",
        "AA": "AI", "AE": "AI", "AH": "AI", "AO": "O", "AW": "AI U", "AY": "AI E", "B": "MBP", "CH": "etc",
        "D": "etc", "DH": "etc", "EH": "E", "ER": "E", "EY": "E", "F": "FV", "G": "etc", "HH": "etc",
        "IH": "E", "IY": "E", "JH": "etc", "K": "etc", "L": "L", "M": "MBP", "N": "etc", "NG": "etc",
        "OW": "O U", "OY": "O E", "P": "MBP", "R": "etc", "S": "etc", "SH": "etc", "T": "etc", "TH": "etc",
        "UH": "U", "UW": "U", "V": "FV", "W": "WQ", "Y": "etc", "Z": "etc", "ZH": "etc",
    },
    # Meta's fifteen ("Viseme reference" of Oculus Lipsync; the shapes of avatars for virtual reality). The reference
    # names phones for each shape as examples; what it leaves out is here with the phone that looks most like it.
    "oculus": {
        "": "sil",
        "AA": "aa", "AE": "aa", "AH": "aa", "AO": "oh", "AW": "aa ou", "AY": "aa ih", "B": "PP", "CH": "CH",
        "D": "DD", "DH": "TH", "EH": "E", "ER": "RR", "EY": "E ih", "F": "FF", "G": "kk", "HH": "kk",
        "IH": "ih", "IY": "ih", "JH": "CH", "K": "kk", "L": "nn", "M": "PP", "N": "nn", "NG": "nn",
        "OW": "oh ou", "OY": "oh ih", "P": "PP", "R": "RR", "S": "SS", "SH": "CH", "T": "DD", "TH": "TH",
        "UH": "ou", "UW": "ou", "V": "FF", "W": "ou", "Y": "ih", "Z": "SS", "ZH": "CH",
    },
    # Rhubarb Lip Sync's nine ("Mouth shapes" of its manual), A to H and X for rest. The manual names phones for each
    # shape; what it leaves out is here with the phone that looks most like it.
    "rhubarb": {
        "": "X",
        "AA": "D", "AE": "C", "AH": "C", "AO": "E", "AW": "D F", "AY": "D B", "B": "A", "CH": "B",
        "D": "B", "DH": "B", "EH": "C", "ER": "E", "EY": "C B", "F": "G", "G": "B", "HH": "C",
        "IH": "B", "IY": "B", "JH": "B", "K": "B", "L": "H", "M": "A", "N": "B", "NG": "B",
        "OW": "E F", "OY": "E B", "P": "A", "R": "E", "S": "B", "SH": "B", "T": "B", "TH": "B",
        "UH": "E", "UW": "F", "V": "G", "W": "F", "Y": "B", "Z": "B", "ZH": "B",
    },
}  # fmt: skip

VISEMES: MappingProxyType[str, dict[str, tuple[str, ...]]] = MappingProxyType(
    {
        name: {phone: tuple(shapes.split()) for phone, shapes in table.items()}
        for name, table in _TABLES.items()
    }
)
"""Name of a set to the shapes of each ARPAbet phone, and of silence (""). A diphthong has two, one after the other."""


class Viseme(NamedTuple):
    """A mouth shape, in seconds from the start of the stream."""

    symbol: str
    start: float
    end: float
    confidence: float
    """The phone's; 1 for silence."""


def check_visemes(name: object, phones: Iterable[str]) -> str:
    """The name of a set that has shapes for these phones.

    Raises:
        ConfigError: there is none of that name, or it lacks a phone.
    """
    if not isinstance(name, str) or name not in VISEMES:
        raise ConfigError(f"unknown visemes {repr(name)[:60]}: choose from {', '.join(VISEMES)}")
    for phone in phones:
        shapes(name, phone, 0.0, 0.0, 1.0)
    return name


def shapes(name: str, symbol: str, start: float, end: float, confidence: float) -> list[Viseme]:
    """The shapes of a phone or, for "", of silence: two of a diphthong, each for half of its time.

    Raises:
        ConfigError: the set `name` does not know the phone.
    """
    known = VISEMES[name].get(symbol)
    if known is None:
        raise ConfigError(
            f"phone {symbol!r} has no shape in the visemes {name!r}, which know the 39 ARPAbet phones: "
            "use a model of these"
        )
    between = (start + end) / 2
    halves = ((start, between), (between, end)) if len(known) == 2 else ((start, end),)
    return [Viseme(shape, *half, confidence) for shape, half in zip(known, halves, strict=True)]


def next_visemes(name: str, until: float, phone: Phone) -> list[Viseme]:
    """The shapes of a phone, and before them that of the silence since `until`, where the phone before ended."""
    return [*rest(name, until, phone.start), *shapes(name, *phone[:4])]


def rest(name: str, start: float, end: float) -> list[Viseme]:
    """The shape of a silence, if it has a length."""
    return shapes(name, "", start, end, 1.0) if end > start else []
