"""The names that other fields give to the 39 phones: one table for `--phones`."""

from collections.abc import Iterable
from types import MappingProxyType

from ..asr.lexicon.phones import IPA, PHONES
from ..errors import ConfigError

# J. C. Wells 1995, "Computer-coding the IPA", which spells the IPA column in ASCII
XSAMPA = {
    "AA": "A", "AE": "{", "AH": "V", "AO": "O", "AW": "aU", "AY": "aI", "B": "b", "CH": "tS",
    "D": "d", "DH": "D", "EH": "E", "ER": "3`", "EY": "eI", "F": "f", "G": "g", "HH": "h",
    "IH": "I", "IY": "i", "JH": "dZ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "N",
    "OW": "oU", "OY": "OI", "P": "p", "R": "r\\", "S": "s", "SH": "S", "T": "t", "TH": "T",
    "UH": "U", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "Z",
}  # fmt: skip

# K.-F. Lee & H.-W. Hon 1989, "Speaker-independent phone recognition using hidden Markov models", table I: the 48 phones
# that are trained, and the 39 that are scored after AO is merged with AA, and ZH with SH
TIMIT48 = {phone: phone.lower() for phone in PHONES}
TIMIT39 = TIMIT48 | {"AO": "aa", "ZH": "sh"}

PHONE_SETS: MappingProxyType[str, dict[str, str]] = MappingProxyType(
    {
        "arpabet": {phone: phone for phone in PHONES},
        "ipa": IPA,
        "xsampa": XSAMPA,
        "timit48": TIMIT48,
        "timit39": TIMIT39,
    }
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
