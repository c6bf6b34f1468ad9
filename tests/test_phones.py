"""The inventory: 39 phones with one IPA name and one CTC column each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonestream.asr.lexicon.phones import BLANK, IPA, PHONES, decode, encode
from phonestream.errors import DataError

phone_lists = st.lists(st.sampled_from(PHONES))


def test_there_are_39_phones_without_stress_each_with_its_own_ipa() -> None:
    assert len(set(PHONES)) == 39
    assert all(phone.isalpha() and phone.isupper() for phone in PHONES)
    assert list(IPA) == list(PHONES)
    assert len(set(IPA.values())) == 39


def test_columns_are_all_but_the_blank_in_order() -> None:
    assert [BLANK, *encode(PHONES)] == list(range(40))


@given(phone_lists)
def test_decoding_undoes_encoding(phones: list[str]) -> None:
    assert decode(encode(phones)) == phones


@given(phone_lists, st.data())
def test_blanks_are_left_out_and_repeated_phones_kept(phones: list[str], data: st.DataObject) -> None:
    columns = encode(phones)
    for _ in range(3):
        columns.insert(data.draw(st.integers(0, len(columns))), BLANK)
    assert decode(columns) == phones


@pytest.mark.parametrize("wrong", ["AA1", "aa", "SIL", "", "ʌ"])
def test_an_unknown_phone_is_named_with_its_place(wrong: str) -> None:
    with pytest.raises(DataError) as caught:
        encode(["HH", "AH", wrong])
    assert repr(wrong) in str(caught.value)
    assert "position 2" in str(caught.value)
    assert "\n" not in str(caught.value)
