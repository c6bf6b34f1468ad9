"""IPA phones of English, as other dictionaries write them, as ours, which are broader."""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from .phones import IPA

# The Montreal Forced Aligner's names of English phones (english_us_mfa, english_uk_mfa), and usual ones of others.
_NARROW = (
    "aj AY/aw AW/ej EY/ow OW/əw OW/ɔj OY/a AE/e EH/o OW/ɒ AA/ɐ AH/ə AH/ɜ ER/ɚ ER/ʉ UW/"
    "c K/ɟ G/g G/ç HH/ʍ W/ɱ M/ɲ N/ʎ L/ɫ L/r R/ʔ T/ɾ̃ N/m̩ AH M/n̩ AH N/l̩ AH L/ɫ̩ AH L"
)
_OURS: dict[str, tuple[str, ...]] = {name: (phone,) for phone, name in IPA.items()} | {
    name: tuple(phones) for name, *phones in map(str.split, _NARROW.split("/"))
}
_ALTERNATIVES = {"ɾ": (("T",), ("D",))}  # writer and rider: the spelling knows, the sound does not
_DETAIL = re.compile("[ʰʲʷːˑˈˌ.\u0303\u0325\u032a\u0361]")  # aspiration, places, length, stress, ties


def alternatives(symbol: str) -> tuple[tuple[str, ...], ...]:
    """Phones of ours that an IPA phone may be, the likelier first; none for what is no phone of English."""
    name = unicodedata.normalize("NFC", symbol)
    for spelling in (name, _DETAIL.sub("", name)):
        if spelling in _ALTERNATIVES:
            return _ALTERNATIVES[spelling]
        if spelling in _OURS:
            return (_OURS[spelling],)
    return ()


def pronunciations(said: Iterable[Sequence[tuple[str, ...]]]) -> Iterator[str]:
    """All ways to take a pronunciation whose phones have `alternatives`; all flaps in it are taken alike."""
    phones = list(said)
    for choice in range(max(map(len, phones), default=0)):
        chosen = (ways[min(choice, len(ways) - 1)] for ways in phones)
        yield " ".join(itertools.chain.from_iterable(chosen))
