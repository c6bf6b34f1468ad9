"""The phone inventory: the 39 ARPAbet phones of CMUdict without stress, their IPA names, and the CTC labels."""

from collections.abc import Iterable, Sequence

from ...errors import DataError

IPA: dict[str, str] = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "B": "b", "CH": "tʃ",
    "D": "d", "DH": "ð", "EH": "ɛ", "ER": "ɝ", "EY": "eɪ", "F": "f", "G": "ɡ", "HH": "h",
    "IH": "ɪ", "IY": "i", "JH": "dʒ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ",
    "OW": "oʊ", "OY": "ɔɪ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ",
    "UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip
"""ARPAbet symbol to IPA. Without stress, AH stands for both ʌ and ə, and ER for both ɝ and ɚ."""

PHONES: tuple[str, ...] = tuple(IPA)
"""The 39 phones in the order of the model's labels. Silence is no phone."""

BLANK = 0
"""Label of the CTC blank; phone `PHONES[i]` has label `i + 1`."""

_LABEL = {phone: label for label, phone in enumerate(PHONES, start=BLANK + 1)}


def encode(phones: Iterable[str]) -> list[int]:
    """CTC labels of `phones`.

    Raises:
        DataError: a symbol is not one of the 39.
    """
    labels = []
    for position, phone in enumerate(phones):
        if phone not in _LABEL:
            raise DataError(
                f"unknown phone {phone!r} at position {position}: "
                f"expected one of the {len(PHONES)} ARPAbet phones without stress ({' '.join(PHONES)})"
            )
        labels.append(_LABEL[phone])
    return labels


def decode(labels: Sequence[int]) -> list[str]:
    """Phones of CTC labels, blanks left out and nothing merged."""
    return [PHONES[label - 1] for label in labels if label != BLANK]
