"""Mouth shapes for lip-sync: the tables for `--visemes`, and phones' intervals turned into intervals of shapes."""

from collections.abc import Iterable
from types import MappingProxyType

from ..errors import ConfigError
from .document import Interval

# Preston Blair's ten shapes ("Advanced Animation", 1947), in the spelling that lip-sync programs use. Consonants
# that the chart leaves out of its own shapes are "etc".
_PRESTON_BLAIR = {
    "": "rest",
    "AA": "AI", "AE": "AI", "AH": "AI", "AO": "O", "AW": "AI U", "AY": "AI E", "B": "MBP", "CH": "etc",
    "D": "etc", "DH": "etc", "EH": "E", "ER": "E", "EY": "E", "F": "FV", "G": "etc", "HH": "etc",
    "IH": "E", "IY": "E", "JH": "etc", "K": "etc", "L": "L", "M": "MBP", "N": "etc", "NG": "etc",
    "OW": "O U", "OY": "O E", "P": "MBP", "R": "etc", "S": "etc", "SH": "etc", "T": "etc", "TH": "etc",
    "UH": "U", "UW": "U", "V": "FV", "W": "WQ", "Y": "etc", "Z": "etc", "ZH": "etc",
}  # fmt: skip

# Meta's fifteen ("Viseme reference" of Oculus Lipsync; the shapes of avatars for virtual reality). The reference
# names phones for each shape as examples; what it leaves out is here with the phone that looks most like it.
_OCULUS = {
    "": "sil",
    "AA": "aa", "AE": "aa", "AH": "aa", "AO": "oh", "AW": "aa ou", "AY": "aa ih", "B": "PP", "CH": "CH",
    "D": "DD", "DH": "TH", "EH": "E", "ER": "RR", "EY": "E ih", "F": "FF", "G": "kk", "HH": "kk",
    "IH": "ih", "IY": "ih", "JH": "CH", "K": "kk", "L": "nn", "M": "PP", "N": "nn", "NG": "nn",
    "OW": "oh ou", "OY": "oh ih", "P": "PP", "R": "RR", "S": "SS", "SH": "CH", "T": "DD", "TH": "TH",
    "UH": "ou", "UW": "ou", "V": "FF", "W": "ou", "Y": "ih", "Z": "SS", "ZH": "CH",
}  # fmt: skip

# Rhubarb Lip Sync's nine ("Mouth shapes" of its manual), A to H and X for rest. The manual names phones for each shape;
# what it leaves out is here with the phone that looks most like it.
_RHUBARB = {
    "": "X",
    "AA": "D", "AE": "C", "AH": "C", "AO": "E", "AW": "D F", "AY": "D B", "B": "A", "CH": "B",
    "D": "B", "DH": "B", "EH": "C", "ER": "E", "EY": "C B", "F": "G", "G": "B", "HH": "C",
    "IH": "B", "IY": "B", "JH": "B", "K": "B", "L": "H", "M": "A", "N": "B", "NG": "B",
    "OW": "E F", "OY": "E B", "P": "A", "R": "E", "S": "B", "SH": "B", "T": "B", "TH": "B",
    "UH": "E", "UW": "F", "V": "G", "W": "F", "Y": "B", "Z": "B", "ZH": "B",
}  # fmt: skip

VISEMES: MappingProxyType[str, dict[str, tuple[str, ...]]] = MappingProxyType(
    {
        name: {phone: tuple(shapes.split()) for phone, shapes in table.items()}
        for name, table in (
            ("preston-blair", _PRESTON_BLAIR),
            ("oculus", _OCULUS),
            ("rhubarb", _RHUBARB),
        )
    }
)
"""Name of a set to the shapes of each ARPAbet phone, and of silence (""). A diphthong has two, one after the other."""


def to_visemes(intervals: Iterable[Interval], name: str) -> list[Interval]:
    """Intervals of mouth shapes that cover the same time as `intervals` of phones.

    The two shapes of a diphthong take half of its time each. Neighbours of one shape are merged: a mouth that
    stays as it is does not move. The confidence is the highest of the phones'.

    Raises:
        ConfigError: a phone that the set does not know.
    """
    table = VISEMES[name]
    shapes: list[Interval] = []
    for symbol, start, end, confidence in intervals:
        if symbol not in table:
            raise ConfigError(
                f"phone {symbol!r} has no shape in the visemes {name!r}, which know the 39 ARPAbet phones: "
                "use a model of these"
            )
        between = (start + end) / 2
        halves = ((start, between), (between, end)) if len(table[symbol]) == 2 else ((start, end),)
        for shape, (begin, finish) in zip(table[symbol], halves, strict=True):
            if shapes and shapes[-1].symbol == shape:
                before = shapes.pop()
                begin, confidence = before.start, max(before.confidence, confidence)
            shapes.append(Interval(shape, begin, finish, confidence))
    return shapes
