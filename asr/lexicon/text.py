"""From running text to the words a lexicon looks up: case, apostrophes, hyphens, symbols that are spoken."""

import re
import unicodedata

from .symbols import read_degrees, read_fractions, read_html, read_superscripts, spread_fractions

_APOSTROPHES = dict.fromkeys(map(ord, "’‘ʼʻ`´＇′‛"), "'")
_MINUS = {ord("−"): " minus "}

# Latin letters that no Unicode decomposition takes to ASCII.
_TO_ASCII = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "th", "þ": "th", "ł": "l", "ı": "i"}
)

# An initialism about an "and", AT&T or R&D: its letters are said by name, in a pair of them too.
_INITIALS = re.compile(r"(?<![^\W_])([a-z]{1,2})&([a-z]{1,2})(?![^\W_])")

_CURRENCY = {"$": "dollar", "£": "pound", "€": "euro", "¥": "yen"}
_AMOUNT = re.compile(
    r"([$£€¥])\s?([0-9](?:[0-9,]*[0-9])?(?:\.[0-9]+)?)(?:\s(hundred|thousand|(?:m|b|tr)illion)\b)?"
)

# A dotted abbreviation (a.m., u.s.'s); a number with separators and what is glued to it (3.5kg); other words.
_TOKEN = re.compile(
    r"""
    (?<![^\W_]) [^\W\d_] (?:\.[^\W\d_])+ (?![^\W_]) \.? (?:'s\b)?
    | (?<![\w.]) (?: [0-9]{1,3} (?:,[0-9]{3})+ (?![0-9]) (?:\.[0-9]+)? | [0-9]* (?:\.[0-9]+)+ )
      [^\W_]* (?:'s\b)?
    | '? [^\W_]+ (?: '+ [^\W_]+ )* '?
    """,
    re.VERBOSE,
)

# An apostrophe in front of these is part of the word; elsewhere it is a quotation mark.
_CLIPPED_IN_FRONT = frozenset({"bout", "cause", "cuse", "em", "kay", "n", "round", "til", "tis", "twas"})
# ... and behind these, or behind any s (boys') or -in (goin').
_CLIPPED_BEHIND = frozenset({"ol", "o", "th"})


def clean(text: str) -> str:
    """`text` in lower case and one Unicode form, apostrophes all ', digits 0-9, nothing invisible left.

    HTML's tags are left out, its entities are the characters that they stand for, powers the words that they are
    read as.
    """
    text = read_html(text).translate(_APOSTROPHES)
    if not text.isascii():
        text = read_superscripts(spread_fractions(text).translate(_MINUS).lower())
    text = unicodedata.normalize("NFKC", text).lower()
    # What composes is composed; marks that remain (x̌), soft hyphens and zero-width signs would split words.
    text = "".join(c for c in text if unicodedata.category(c) not in ("Mn", "Me", "Cf"))
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() and not c.isascii() else c for c in text)


def fold(word: str) -> str:
    """`word` without the accents of Latin letters: naïve is naive, straße strasse. Other scripts stay."""
    if word.isascii():
        return word
    return "".join(map(_fold_letter, word.translate(_TO_ASCII)))


def _fold_letter(letter: str) -> str:
    bare = "".join(c for c in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(c))
    return bare if bare.isascii() else letter


def _amount(match: re.Match[str]) -> str:
    sign, number, scale = match.groups()
    unit = _CURRENCY[sign]
    plural = "" if unit == "yen" or (number == "1" and not scale) else "s"
    if scale or not re.fullmatch(r"[0-9,]+\.[0-9]{2}", number):
        return f" {number} {scale or ''} {unit}{plural} "
    whole, cents = number.split(".")
    return f" {whole} {unit}{plural} " + (f"{int(cents)} " if int(cents) else "")


def _trim(word: str) -> str:
    """`word` without the apostrophes that are quotation marks."""
    core = word.strip("'")
    front = "'" if word.startswith("'") and core in _CLIPPED_IN_FRONT else ""
    behind = "'" if word.endswith("'") and not word.startswith("'") else ""
    if not (core.endswith("s") or (len(core) > 3 and core.endswith("in")) or core in _CLIPPED_BEHIND):
        behind = ""
    return front + core + behind


def normalise(text: str) -> list[str]:
    """Words of `text` as a `Lexicon` looks them up; punctuation goes, hyphens and slashes part words.

    Lower case; every kind of apostrophe becomes ' and stays where it belongs to the word (don't, boys', 'tis).
    Accents stay: the lexicon tries with and without. A number stays one word, in digits and as it is written
    (1984 may be a year, 1,984 is none); `Lexicon` reads it. A dotted abbreviation keeps its dots (a.m., u.s.).
    The symbols &, %, °, $, £, € and ¥ become the words they are read as: $2.50 is 2 dollars 50, ½ half.
    """
    text = _AMOUNT.sub(_amount, read_degrees(read_fractions(clean(text))))
    text = re.sub(r"(?<=\d)\s?%", " percent ", text)
    text = _INITIALS.sub(lambda found: f"{'.'.join(found[1])} and {'.'.join(found[2])}", text)
    text = text.replace("&", " and ")
    words = []
    for match in _TOKEN.finditer(text):
        word = match[0]
        if word[0].isalpha() and "." in word:
            words.append(re.sub(r"\.?('s)?$", r".\1", word, count=1))
        else:
            words.append(_trim(word))
    return words
