"""How a number in digits is read in English: cardinals, ordinals, decimals, years, and digit by digit."""

import re

from ...errors import DataError

_NUMBER = re.compile(r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)((?:\.[0-9]+)*)(st|nd|rd|th)?")
_LONGEST = 15  # digits: beyond hundreds of trillions nobody says the name, but the digits
_ROMAN = re.compile(r"(M{0,3})(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _digits(number: str, zero: str = "zero") -> list[str]:
    return [zero if digit == "0" else _DIGITS[int(digit)] for digit in number]


def _spell(number: int, to: str) -> list[str]:
    from num2words import num2words  # here: it loads every language that it knows, and few texts have digits

    return re.findall("[a-z]+", num2words(number, lang="en", to=to))


def _with_and_without_and(words: list[str]) -> list[list[str]]:
    bare = [word for word in words if word != "and"]
    return [bare] if bare == words else [bare, words]


def _whole(number: str, year: bool) -> list[list[str]]:
    """Readings of the digits `number`, as a year first if it may be one."""
    if len(number) > _LONGEST or (len(number) > 1 and number[0] == "0"):
        return [_digits(number), _digits(number, "oh")] if "0" in number else [_digits(number)]
    cardinal = _with_and_without_and(_spell(int(number), "cardinal"))
    if year and len(number) == 4 and 1100 <= int(number) < 2100 and not 2000 <= int(number) < 2010:
        return [_spell(int(number), "year"), *cardinal]
    return cardinal


def readings(number: str) -> list[list[str]]:
    """The ways to read `number`, the likeliest first, each a list of words.

    "105" is one hundred five, or one hundred and five; "1984" is nineteen eighty four (a year) or one thousand
    nine hundred eighty four, "1,984" only the latter; "3.14" is three point one four, "21st" twenty first, "007"
    zero zero seven, or oh oh seven. American: the reading without "and" comes first.

    Args:
        number: ASCII digits, perhaps with commas between thousands; then decimals (several, as in a version) or
            an ordinal ending.

    Raises:
        DataError: `number` is none of these.
    """
    match = _NUMBER.fullmatch(number)
    if not match or not (match[1] or match[2]) or (match[3] and (match[2] or len(match[1]) > _LONGEST)):
        raise DataError(f"cannot read {number!r} as a number: expected such as 21, 21st, 1984, 1,984 or 3.14")
    written, fraction, ordinal = match.groups()
    whole = written.replace(",", "")
    if ordinal:
        return _with_and_without_and(_spell(int(whole), "ordinal"))
    if not fraction:
        return _whole(whole, year=whole == written)
    tail = [word for part in fraction[1:].split(".") for word in ("point", *_digits(part))]
    heads = _whole(whole, year=False) if whole else [[]]
    return [head + tail for head in heads]


def roman(word: str) -> int | None:
    """The value of a Roman numeral in capitals, None for what is rather a word or an initialism (I, MIX, CD).

    With the letters L, C, D and M a numeral has four letters at least, with I, V and X alone two.
    """
    if len(word) < (2 if set(word) <= set("IVX") else 4) or not _ROMAN.fullmatch(word):
        return None
    values = [_VALUES[letter] for letter in word]
    behind = [*values[1:], 0]
    return sum(
        -value if value < following else value for value, following in zip(values, behind, strict=True)
    )
