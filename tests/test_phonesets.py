"""The tables of phone sets and visemes are whole, and what they lack is said."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonestream.asr.lexicon.phones import IPA, PHONES
from phonestream.errors import ConfigError
from phonestream.formats.document import Interval
from phonestream.formats.options import Options
from phonestream.formats.phone_sets import PHONE_SETS, rename
from phonestream.formats.visemes import to_visemes
from phonestream.streaming.visemes import VISEMES

PAGE = Path(__file__).parent.parent / "docs" / "formats.md"
NAMES = {
    "preston-blair": {"AI", "E", "O", "U", "WQ", "L", "MBP", "FV", "etc", "rest"},
    "oculus": {"sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou"},
    "rhubarb": set("ABCDEFGHX"),
}


@pytest.mark.parametrize("name", PHONE_SETS)
def test_a_phone_set_names_every_phone(name: str) -> None:
    table = PHONE_SETS[name]
    assert list(table) == list(PHONES)
    assert all(symbol and not any(map(str.isspace, symbol)) for symbol in table.values())
    assert len(set(table.values())) == (37 if name == "timit39" else 39)


def test_the_sets_agree_with_what_is_known_of_them() -> None:
    assert PHONE_SETS["ipa"] == IPA
    assert all(
        symbol.isascii() for name in PHONE_SETS if name != "ipa" for symbol in PHONE_SETS[name].values()
    )
    assert all(PHONE_SETS["timit48"][phone] == phone.lower() for phone in PHONES)
    folded = {
        phone: PHONE_SETS["timit39"][phone]
        for phone in PHONES
        if PHONE_SETS["timit39"][phone] != phone.lower()
    }
    assert folded == {"AO": "aa", "ZH": "sh"}
    ascii_of = {
        "ɑ": "A",
        "æ": "{",
        "ʌ": "V",
        "ɔ": "O",
        "ʊ": "U",
        "ɪ": "I",
        "ʃ": "S",
        "ʒ": "Z",
        "ð": "D",
        "ɛ": "E",
    }
    ascii_of |= {"ɝ": "3`", "ɡ": "g", "ŋ": "N", "ɹ": "r\\", "θ": "T"}
    for phone, ipa in IPA.items():
        assert PHONE_SETS["xsampa"][phone] == "".join(ascii_of.get(letter, letter) for letter in ipa)


@pytest.mark.parametrize("name", VISEMES)
def test_visemes_know_every_phone_and_silence_and_use_every_shape(name: str) -> None:
    table = VISEMES[name]
    assert set(table) == {"", *PHONES}
    assert {shape for shapes in table.values() for shape in shapes} == NAMES[name]
    assert {phone for phone, shapes in table.items() if len(shapes) == 2} <= {"AW", "AY", "EY", "OW", "OY"}


def test_unknown_names_are_answered_with_those_that_are_known() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown phone set 'sampa'.*arpabet, ipa, xsampa, timit48, timit39"
    ):
        Options(phone_set="sampa")
    with pytest.raises(ConfigError, match=r"unknown visemes 'disney'.*preston-blair, oculus, rhubarb"):
        Options(visemes="disney")


def test_the_symbols_of_another_inventory_are_written_as_they_are_or_refused() -> None:
    assert rename("ã", "arpabet") == "ã"
    with pytest.raises(ConfigError, match="'ã' has no name in the phone set 'ipa'"):
        rename("ã", "ipa")
    with pytest.raises(ConfigError, match="'ã' has no shape in the visemes 'oculus'"):
        to_visemes([Interval("ã", 0, 1, 1)], "oculus")


@settings(deadline=None)
@given(st.lists(st.sampled_from(["", *PHONES])), st.sampled_from(list(VISEMES)))
def test_visemes_cover_the_same_time_and_change_at_every_boundary(phones: list[str], name: str) -> None:
    intervals = [Interval(phone, number / 8, (number + 1) / 8, 0.5) for number, phone in enumerate(phones)]
    shapes = to_visemes(intervals, name)
    assert bool(shapes) == bool(intervals)
    if shapes:
        assert (shapes[0].start, shapes[-1].end) == (0, len(phones) / 8)
    for before, after in pairwise(shapes):
        assert before.end == after.start
        assert before.symbol != after.symbol
    for phone, interval in zip(phones, intervals, strict=True):
        shown = [
            shape.symbol for shape in shapes if shape.start < interval.end and shape.end > interval.start
        ]
        assert tuple(shown) == VISEMES[name][phone]


def test_the_documentation_shows_the_tables_as_they_are() -> None:
    rows = {
        cells[0]: cells[1:]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and len(cells := [cell.strip() for cell in line.strip("| ").split("|")]) == 8
    }
    for phone in PHONES:
        expected = [f"`{PHONE_SETS[name][phone]}`" for name in ("ipa", "xsampa", "timit48", "timit39")]
        expected[1] = expected[1].replace("`3``", "``3` ``")
        expected += [" ".join(VISEMES[name][phone]) for name in ("preston-blair", "oculus", "rhubarb")]
        assert rows[phone] == expected
