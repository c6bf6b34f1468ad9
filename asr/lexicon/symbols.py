"""Written signs that are read as words: fractions, superscripts, degrees, HTML's entities and tags."""

import html
import re
import unicodedata

_LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9]*(?:\s[^<>]*)?/?>")
_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});")

# "½" becomes " 1⁄2 ": one and a half written 1½ must not become 11⁄2, as Unicode's own decomposition has it.
_VULGAR = {
    code: f" {unicodedata.normalize('NFKC', chr(code))} "
    for code in (0xBC, 0xBD, 0xBE, *range(0x2150, 0x215F), 0x2189)
}
_FRACTION = re.compile(
    r"(?<![\w./,⁄])(?:([0-9]+)(?:\s+|-))?([0-9]{1,3})(?:⁄([0-9]{1,3})|/([0-9]{1,2}))(?![\w/⁄]|[.,][0-9])"
)
_NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_PARTS = {
    2: ("half", "halves"), 3: ("third", "thirds"), 4: ("quarter", "quarters"), 5: ("fifth", "fifths"),
    6: ("sixth", "sixths"), 7: ("seventh", "sevenths"), 8: ("eighth", "eighths"), 9: ("ninth", "ninths"),
    10: ("tenth", "tenths"),
}  # fmt: skip

_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_DIGITS = str.maketrans(_RAISED, "0123456789")
_POWER = re.compile(
    rf"((?:(?<=[0-9])|(?<=[0-9]\s))[a-z]+|[^\W\d_{_RAISED}]+|[0-9]|[.,;:!?”\"])([⁺⁻]?)([{_RAISED}]+)"
)
_UNITS = {
    "mm": "millimeters", "cm": "centimeters", "m": "meters", "km": "kilometers", "in": "inches", "ft": "feet",
    "yd": "yards", "mi": "miles",
}  # fmt: skip
_NAMES = {"2": ("square", "squared"), "3": ("cubic", "cubed")}
_ORDINAL_ENDINGS = {"1": "st", "2": "nd", "3": "rd"}

_SCALES = {"c": "celsius", "f": "fahrenheit"}
_DEGREES = re.compile(r"(?<=[0-9])\s?°\s?(?:([cf])\b)?")


def read_html(text: str) -> str:
    """`text` without HTML's tags, its entities as the characters that they stand for: <b>AT&amp;T</b> is AT&T."""
    if "<" in text:
        text = _TAG.sub("", _LINE_BREAK.sub(" ", text))
    return _ENTITY.sub(lambda found: html.unescape(found[0]), text) if "&" in text else text


def spread_fractions(text: str) -> str:
    """`text` with each fraction that is one character taken apart, so that no number before it runs into it."""
    return text.translate(_VULGAR)


def read_fractions(text: str) -> str:
    """`text` with fractions in words: 1/2 is half, 3 1/2 is 3 and a half, 2/3 two thirds.

    With a plain slash only what cannot be much else: a proper fraction down to tenths (24/7 and 9/11 stay).
    """
    return _FRACTION.sub(_fraction, text) if "/" in text or "⁄" in text else text


def read_superscripts(text: str) -> str:
    """`text`, in lower case, with powers in words: x² is x squared, 5 m² 5 square meters, 10⁻⁶ 10 to the minus 6th.

    Behind a longer word or a mark a raised number is a note's, which nobody reads.
    """
    return _POWER.sub(_power, text)


def read_degrees(text: str) -> str:
    """`text`, in lower case, with 20 °c as 20 degrees celsius."""
    return _DEGREES.sub(lambda found: f" degrees {_SCALES[found[1]]} " if found[1] else " degrees ", text)


def _fraction(found: re.Match[str]) -> str:
    whole, above, below = found[1], int(found[2]), int(found[3] or found[4])
    plain = found[4] is not None
    if plain and not (0 < above < below and below in _PARTS):
        return found[0]
    if below not in _PARTS or above >= len(_NUMERALS):
        return f" {whole} and {above} over {below} " if whole else f" {above} over {below} "
    one, several = _PARTS[below]
    if above != 1:
        read = f"{_NUMERALS[above]} {several}"
    elif whole:
        read = f"a {one}"
    else:
        read = one if below in (2, 4) else f"one {one}"
    return f" {whole} and {read} " if whole else f" {read} "


def _power(found: re.Match[str]) -> str:
    base, sign, raised = found[1], found[2], found[3].translate(_DIGITS)
    before = found.string[: found.start()].rstrip()
    if not sign and raised in _NAMES and base in _UNITS and (len(base) > 1 or before[-1:].isdecimal()):
        return f" {_NAMES[raised][0]} {_UNITS[base]} "
    if len(base) > 1 or not base.isalnum() or (not sign and raised == "1"):
        return f"{base} "
    if not sign and raised in _NAMES:
        return f"{base} {_NAMES[raised][1]} "
    number = str(int(raised))
    ending = "th" if number[-2:-1] == "1" else _ORDINAL_ENDINGS.get(number[-1], "th")
    return f"{base} to the {'minus ' if sign == '⁻' else ''}{number}{ending} "
