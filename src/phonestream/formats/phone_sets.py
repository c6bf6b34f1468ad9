"""The names that other fields give to the 39 phones: one table for `--phones`."""

from collections.abc import Iterable
from types import MappingProxyType
from typing import NamedTuple

from ..asr.lexicon.phones import IPA, PHONES
from ..errors import ConfigError


class Names(NamedTuple):
    """What a phone is called elsewhere, beside ARPAbet and `phonestream.asr.lexicon.phones.IPA`."""

    xsampa: str
    timit48: str
    timit39: str


# X-SAMPA: J. C. Wells 1995, "Computer-coding the IPA", which spells the IPA column in ASCII.
# TIMIT: K.-F. Lee & H.-W. Hon 1989, "Speaker-independent phone recognition using hidden Markov models", table I:
# the 48 phones that are trained, and the 39 that are scored after AO is merged with AA, and ZH with SH.
_NAMES = {
    "AA": Names("A", "aa", "aa"), "AE": Names("{", "ae", "ae"), "AH": Names("V", "ah", "ah"),
    "AO": Names("O", "ao", "aa"), "AW": Names("aU", "aw", "aw"), "AY": Names("aI", "ay", "ay"),
    "B": Names("b", "b", "b"), "CH": Names("tS", "ch", "ch"), "D": Names("d", "d", "d"),
    "DH": Names("D", "dh", "dh"), "EH": Names("E", "eh", "eh"), "ER": Names("3`", "er", "er"),
    "EY": Names("eI", "ey", "ey"), "F": Names("f", "f", "f"), "G": Names("g", "g", "g"),
    "HH": Names("h", "hh", "hh"), "IH": Names("I", "ih", "ih"), "IY": Names("i", "iy", "iy"),
    "JH": Names("dZ", "jh", "jh"), "K": Names("k", "k", "k"), "L": Names("l", "l", "l"),
    "M": Names("m", "m", "m"), "N": Names("n", "n", "n"), "NG": Names("N", "ng", "ng"),
    "OW": Names("oU", "ow", "ow"), "OY": Names("OI", "oy", "oy"), "P": Names("p", "p", "p"),
    "R": Names("r\\", "r", "r"), "S": Names("s", "s", "s"), "SH": Names("S", "sh", "sh"),
    "T": Names("t", "t", "t"), "TH": Names("T", "th", "th"), "UH": Names("U", "uh", "uh"),
    "UW": Names("u", "uw", "uw"), "V": Names("v", "v", "v"), "W": Names("w", "w", "w"),
    "Y": Names("j", "y", "y"), "Z": Names("z", "z", "z"), "ZH": Names("Z", "zh", "sh"),
}  # fmt: skip

PHONE_SETS: MappingProxyType[str, dict[str, str]] = MappingProxyType(
    {"arpabet": {phone: phone for phone in PHONES}, "ipa": IPA}
    | {name: {phone: getattr(_NAMES[phone], name) for phone in PHONES} for name in Names._fields}
)
"""Name of a set to its symbol for each ARPAbet phone. Only timit39 gives two phones one symbol."""


def names(phones: Iterable[str], phone_set: str) -> dict[str, str]:
    """What each of a model's `phones` is called in `phone_set`.

    Raises:
        ConfigError: there is no such set, or it has no name for one of them.
    """
    if phone_set not in PHONE_SETS:
        raise ConfigError(f"unknown phone set {phone_set!r}: choose one of {', '.join(PHONE_SETS)}")
    return {phone: rename(phone, phone_set) for phone in phones}


def rename(symbol: str, phone_set: str) -> str:
    """A model's `symbol` in `phone_set`. ARPAbet is what the model itself says, of whatever inventory it is.

    Raises:
        ConfigError: the set has no name for the symbol.
    """
    if phone_set == "arpabet":
        return symbol
    try:
        return PHONE_SETS[phone_set][symbol]
    except KeyError:
        raise ConfigError(
            f"phone {symbol!r} has no name in the phone set {phone_set!r}, which names the 39 ARPAbet phones: "
            "leave out --phones to write the model's own symbols"
        ) from None
