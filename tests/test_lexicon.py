"""What a user relies on of the lexicon: the dictionary whole, words found in any spelling, guesses marked."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phonestream import pronounce
from phonestream.asr.align.transcript import words_of
from phonestream.asr.lexicon import ipa
from phonestream.asr.lexicon.lexicon import Lexicon, normalise
from phonestream.asr.lexicon.numbers import readings, roman
from phonestream.asr.lexicon.phones import IPA, PHONES, encode
from phonestream.asr.lexicon.written import written_words
from phonestream.errors import DataError


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon()


def first(lexicon: Lexicon, word: str) -> str:
    return " ".join(lexicon.pronunciations(word)[0].phones)


def ways(lexicon: Lexicon, word: str) -> list[str]:
    return [" ".join(said.phones) for said in lexicon.pronunciations(word)]


def source(lexicon: Lexicon, word: str) -> str:
    sources = {said.source for said in lexicon.pronunciations(word)}
    assert len(sources) == 1
    return sources.pop()


def own(folder: Path, text: str | bytes) -> Path:
    path = folder / "mine.dict"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# The dictionary.


def test_every_entry_has_phones_of_ours(lexicon: Lexicon) -> None:
    assert len(lexicon) == 126052
    said = {pronunciation for word in lexicon for pronunciation in lexicon.pronunciations(word)}
    assert {pronunciation.source for pronunciation in said} == {"dictionary"}
    assert all(encode(pronunciation.phones) for pronunciation in said)


def test_variants_come_in_the_order_of_the_dictionary(lexicon: Lexicon) -> None:
    assert ways(lexicon, "a") == ["AH", "EY"]
    assert ways(lexicon, "tomato") == ["T AH M EY T OW", "T AH M AA T OW"]


def test_variants_that_differ_in_stress_alone_are_one(lexicon: Lexicon) -> None:
    for word in ("permit", "increase", "record"):
        assert len(set(ways(lexicon, word))) == len(ways(lexicon, word))


def test_comments_are_no_phones(lexicon: Lexicon) -> None:
    assert ways(lexicon, "aalborg") == ["AO L B AO R G", "AA L B AO R G"]  # "# place, danish"
    assert ways(lexicon, "gdp") == ["G IY D IY P IY"]  # "# abbrev"


def test_membership_is_of_the_dictionary_alone(lexicon: Lexicon) -> None:
    assert "Dog" in lexicon
    assert "zoof" not in lexicon
    assert "zoof's" not in lexicon


# Words that are written otherwise than the dictionary writes them.


@pytest.mark.parametrize(
    ("word", "entry"),
    [
        ("DOG", "dog"),
        ("café", "cafe"),
        ("cafe\u0301", "cafe"),
        ("naïve", "naive"),
        ("don’t", "don't"),
        ("don\u02bct", "don't"),
        ("(dog),", "dog"),
        ("‘dog’", "dog"),
        ("'Tis", "'tis"),
        ("’em", "'em"),
        ("twas", "'twas"),
        ("A.M.", "a.m."),
        ("A.M", "a.m."),
        ("able-bodied", "able-bodied"),
    ],
)
def test_other_spellings_find_the_entry(lexicon: Lexicon, word: str, entry: str) -> None:
    assert lexicon.pronunciations(word) == lexicon.pronunciations(entry)
    assert source(lexicon, word) == "dictionary"


def test_hyphenated_words_are_their_parts(lexicon: Lexicon) -> None:
    assert first(lexicon, "dog-house-keeper") == "D AO G HH AW S K IY P ER"
    assert lexicon.phones("dog-house") == lexicon.phones("dog house")


# Endings.


@pytest.mark.parametrize(
    ("word", "phones", "kind"),
    [
        ("aardvark's", ["AA R D V AA R K S"], "possessive"),  # voiceless
        ("abacus's", ["AE B AH K AH S IH Z", "AE B AH K AH S AH Z"], "possessive"),  # sibilant
        ("pronoun's", ["P R OW N AW N Z"], "possessive"),
        ("aardvarks'", ["AA R D V AA R K S"], "possessive"),
        ("aardvark’s", ["AA R D V AA R K S"], "possessive"),
        ("aardvark'll", ["AA R D V AA R K AH L"], "contraction"),
        ("seein'", ["S IY IH N"], "contraction"),
        ("shan't", ["SH AA N T"], "contraction"),
        ("reveal'd", ["R IH V IY L D", "R IY V IY L D"], "contraction"),
    ],
)
def test_endings_are_added_by_rule(lexicon: Lexicon, word: str, phones: list[str], kind: str) -> None:
    assert word not in lexicon
    assert ways(lexicon, word) == phones
    assert source(lexicon, word) == kind


def test_the_possessive_rule_agrees_with_the_dictionary(lexicon: Lexicon, tmp_path: Path) -> None:
    """Take the dictionary's possessives away, and the rule makes the same ones again, nine times out of ten."""
    had = [word for word in lexicon if word.endswith("'s") and word[:-2] in lexicon]
    bare = own(tmp_path, "".join(f"{word[:-2]} {first(lexicon, word[:-2])}\n" for word in had))
    made = Lexicon(bare)
    same = sum(made.pronunciations(word)[0].phones == lexicon.pronunciations(word)[0].phones for word in had)
    assert len(had) > 6000
    assert same / len(had) > 0.9


# Numbers, abbreviations, guesses.


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("0", "zero"),
        ("7", "seven"),
        ("21", "twenty one"),
        ("105", "one hundred five"),
        ("1,984", "one thousand nine hundred eighty four"),
        ("1984", "nineteen eighty four"),
        ("2005", "two thousand five"),
        ("1000000", "one million"),
        ("21st", "twenty first"),
        ("3.14", "three point one four"),
        (".5", "point five"),
        ("007", "zero zero seven"),
        ("90s", "nineties"),
        ("1990's", "nineteen nineties"),
        ("mp3", "m p three"),
        ("50%", "fifty percent"),
        ("$2.50", "two dollars fifty"),
        ("£1", "one pound"),
        ("$3 million", "three million dollars"),
        ("½", "half"),
        ("٣", "three"),
    ],
)
def test_numbers_are_read(lexicon: Lexicon, number: str, words: str) -> None:
    assert lexicon.phones(number) == lexicon.phones(words)


def test_a_number_says_so_and_has_its_other_readings(lexicon: Lexicon) -> None:
    assert source(lexicon, "1984") == "number"
    assert [" ".join(words) for words in readings("1984")][:2] == [
        "nineteen eighty four",
        "one thousand nine hundred eighty four",
    ]
    assert [" ".join(words) for words in readings("105")] == ["one hundred five", "one hundred and five"]


@given(st.integers(0, 10**18))
@settings(deadline=None)
def test_every_whole_number_can_be_read(lexicon: Lexicon, number: int) -> None:
    for written in (str(number), f"{number:,}"):
        said = lexicon.pronunciations(written)
        assert {pronunciation.source for pronunciation in said} == {"number"}


@pytest.mark.parametrize("wrong", ["", "st", "1,23", "1.", "-1", "1.5th", "one"])
def test_what_is_no_number_is_refused(wrong: str) -> None:
    with pytest.raises(DataError, match="as a number"):
        readings(wrong)


@given(st.integers(1, 3999))
def test_roman_numerals_are_numbers_where_they_are_no_words(number: int) -> None:
    left, written = number, ""
    for value, letters in zip(
        (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),
        ["M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"],
        strict=True,
    ):
        written += letters * (left // value)
        left %= value
    short = len(written) < (2 if set(written) <= set("IVX") else 4)
    assert roman(written) == (None if short else number)
    assert roman(f"{written}A") is roman(f"IIX{written}") is roman(written.lower()) is None


def test_a_roman_numeral_is_read_as_a_number_or_a_ruler_s(lexicon: Lexicon) -> None:
    cardinal, ruler, ordinal = (lexicon.phones(text) for text in ("fourteen", "the fourteenth", "fourteenth"))
    said = [list(way.phones) for way in lexicon.pronunciations("XIV")]
    assert said == [cardinal, ruler, ordinal]
    assert [word.variants[0] for word in words_of("(Louis XIV), AT&T", lexicon)][1:] == [
        tuple(cardinal),
        ("EY", "T", "IY", "AH", "N", "D", "T", "IY"),
    ]


def test_abbreviations_are_spelled(lexicon: Lexicon) -> None:
    assert first(lexicon, "x.k.c.d.") == "EH K S K EY S IY D IY"
    assert first(lexicon, "XKCD") == "EH K S K EY S IY D IY"
    assert source(lexicon, "xkcd") == "letters"
    assert first(lexicon, "xkcd's") == "EH K S K EY S IY D IY Z"


@pytest.mark.parametrize("word", ["zoof", "zoof's", "zoof-dog", "Ñandú", "zoof2"])
def test_guesses_are_flagged(lexicon: Lexicon, word: str) -> None:
    assert all(said.guessed for said in lexicon.pronunciations(word))
    assert set(first(lexicon, word).split()) <= set(PHONES)


@pytest.mark.parametrize("word", ["dog", "dog's", "1984", "xkcd", "seein'"])
def test_what_is_no_guess_is_not_flagged(lexicon: Lexicon, word: str) -> None:
    assert not any(said.guessed for said in lexicon.pronunciations(word))


# Texts.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" … — ' ''", []),
        ("Don’t ‘stop’, Mr. O'Neill!", ["don't", "stop", "mr", "o'neill"]),
        ("'Tis the boys' goin' home", ["'tis", "the", "boys'", "goin'", "home"]),
        ("'hello there'", ["hello", "there"]),
        ("state-of-the-art and/or–so", ["state", "of", "the", "art", "and", "or", "so"]),
        ("at 7 a.m. in the U.S.", ["at", "7", "a.m.", "in", "the", "u.s."]),
        ("in 1984, 1,984.5 on the 21st.", ["in", "1984", "1,984.5", "on", "the", "21st"]),
        ("this & that, 5% of $2", ["this", "and", "that", "5", "percent", "of", "2", "dollars"]),
        ("it\u00adems\u200b here", ["items", "here"]),
        ("Straße ÉCLAIR", ["straße", "éclair"]),
        (
            "½ 1½ ⅓ 2⅔ 3 1/2 9/11",
            [
                "half",
                "1",
                "and",
                "a",
                "half",
                "one",
                "third",
                "2",
                "and",
                "two",
                "thirds",
                "3",
                "and",
                "a",
                "half",
                "9",
                "11",
            ],
        ),
        (
            "x² 10⁻⁶ 5 m² km³",
            [
                "x",
                "squared",
                "10",
                "to",
                "the",
                "minus",
                "6th",
                "5",
                "square",
                "meters",
                "cubic",
                "kilometers",
            ],
        ),
        ("a word¹ and another.²", ["a", "word", "and", "another"]),
        ("20 °C, 5°", ["20", "degrees", "celsius", "5", "degrees"]),
        ("AT&amp;T&nbsp;caf&eacute; &#189; R&D;", ["a.t.", "and", "t", "café", "half", "r", "and", "d"]),
        ("the <b>sea</b>,<br>un<i>broken</i> 1 < 2", ["the", "sea", "unbroken", "1", "2"]),
    ],
)
def test_a_text_becomes_words(text: str, words: list[str]) -> None:
    assert normalise(text) == words


@given(st.text())
@example("a" + "'s" * 3000)
@example("1,234,5 1.2.3th 12345678901234567890st ٣٤ ² Ⅷ ፩ ㎏")
@example("'s's n't n't's x.y.z.'s's s' 's' in'")
@settings(max_examples=300, deadline=None)
def test_any_text_has_phones_or_a_one_line_error(lexicon: Lexicon, text: str) -> None:
    try:
        phones = lexicon.phones(text)
    except DataError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert set(phones) <= set(PHONES)
        assert bool(phones) == bool(normalise(text))


letters = st.text("abcdefghijklmnopqrstuvwxyzABCéïñß'’-., 0123456789$%&", max_size=40)


@given(letters)
@settings(deadline=None)
def test_normalising_twice_changes_nothing(text: str) -> None:
    words = normalise(text)
    assert normalise(" ".join(words)) == words


pieces = [
    *(
        "a",
        "— …",
        "(b)",
        "“SIGHT!” —",
        "$2.50,",
        "$2.5 million",
        "5 %",
        "3 1/2 miles",
        "½ cup",
        "5 m²",
        "St.",
    ),
    *("15th,", "AT&amp;T", "&mdash;", "мир", "sea—unbroken--all...round", "'tis", "x² (", "« non »"),
    *(" ", "\n", "&nbsp;"),
]


@given(st.lists(st.sampled_from(pieces), max_size=9).map(" ".join))
@example("$2.5 million, “SIGHT!” — 3 1/2 miles—or 5 % (of it)")
@settings(deadline=None)
def test_written_words_are_the_text_and_its_words(text: str) -> None:
    words = written_words(text)
    assert [said for word in words for said in word.words] == normalise(text)
    assert all(word.text == " ".join(text[word.begin : word.end].split()) for word in words)
    places = [place for word in words for place in range(word.begin, word.end)]
    assert places == sorted(set(places))
    left = "".join(sign for place, sign in enumerate(text) if place not in places)
    assert not words or not left.replace("&nbsp;", "").strip()


@given(letters)
@settings(deadline=None)
def test_english_text_always_has_phones(lexicon: Lexicon, text: str) -> None:
    words = normalise(text)
    assert lexicon.phones(text) == [
        phone for word in words for phone in lexicon.pronunciations(word)[0].phones
    ]
    assert all(lexicon.pronunciations(word)[0].phones for word in words)


@given(st.lists(st.sampled_from(["dog", "the", "zoof", "1984", "a.m.", "boys'", "ox's"])))
@settings(deadline=None)
def test_a_text_is_its_words_one_after_the_other(lexicon: Lexicon, words: list[str]) -> None:
    assert lexicon.phones(" ".join(words)) == [phone for word in words for phone in lexicon.phones(word)]


def test_the_reference_phones_of_the_shipped_recordings(lexicon: Lexicon, speech_dir: Path) -> None:
    header, *rows = (speech_dir / "manifest.tsv").read_text(encoding="utf-8").splitlines()
    columns = header.split("\t")
    assert rows
    for row in rows:
        fields = dict(zip(columns, row.split("\t"), strict=True))
        if any(lexicon.pronunciations(word)[0].guessed for word in fields["text"].split()):
            continue
        assert lexicon.phones(fields["text"]) == fields["phones"].split()


@pytest.mark.parametrize("word", ["", "%%%", "'", "—", " "])
def test_a_word_with_nothing_to_say_is_an_error(lexicon: Lexicon, word: str) -> None:
    with pytest.raises(DataError) as caught:
        lexicon.pronunciations(word)
    assert repr(word) in str(caught.value)


def test_a_letter_that_english_lacks_is_named_with_its_word(lexicon: Lexicon) -> None:
    with pytest.raises(DataError, match="'й' in the word 'йод'"):
        lexicon.phones("the йод")


def test_threads_share_a_lexicon(lexicon: Lexicon) -> None:
    words = ["dog", "zoofs", "1984", "xyzzy's", "blorptastic"] * 40
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lexicon.pronunciations, words)) == list(map(lexicon.pronunciations, words))


# A user's own dictionary.


def test_a_dictionary_of_the_montreal_forced_aligner(tmp_path: Path) -> None:
    path = tmp_path / "mfa.dict"
    path.write_text(
        "<unk>\tspn\nTomato\t0.62\t0.25\t1.02\t0.9\tT AH0 M EY1 T OW2\ntomato\t.38\tT AH0 M AA1 T OW2\nno\tN OW1\n"
    )
    lexicon = Lexicon(path)
    assert list(lexicon) == ["tomato", "no"]
    assert [" ".join(way.phones) for way in lexicon.pronunciations("TOMATO")] == [
        "T AH M EY T OW",
        "T AH M AA T OW",
    ]
    assert lexicon.pronunciations("tomato") == pronounce("tomato")
    path.write_text("no\t1.0\tN OW1\nna\t0.5\tn ɑː\n", "utf-8")
    with pytest.raises(DataError, match=r"mfa\.dict:2: unknown phone 'n'"):
        Lexicon(path)


ENGLISH_US_MFA = (
    "aj aw b bʲ c cʰ d dʒ dʲ ej f fʲ h i iː j k kʰ l m mʲ m̩ n n̩ ow p pʰ pʲ s t tʃ tʰ tʲ v vʲ w z æ ç ð ŋ ɐ ɑ ɑː "
    "ɒ ɒː ɔj ə ɚ ɛ ɝ ɟ ɡ ɪ ɫ ɫ̩ ɱ ɲ ɹ ɾ ʃ ʉ ʉː ʊ ʎ ʒ ʔ θ"
)


def test_ipa_phones_of_the_montreal_forced_aligner_are_ours(tmp_path: Path) -> None:
    """Those of its dictionary english_us_mfa, and our own names."""
    for symbol in ENGLISH_US_MFA.split():
        assert all(phone in PHONES for way in ipa.alternatives(symbol) or ["none"] for phone in way), symbol
    assert [ipa.alternatives(name) for name in IPA.values()] == [((phone,),) for phone in IPA]
    path = tmp_path / "mfa.dict"
    path.write_text("water\t0.99\t0.2\t1.0\t1.0\tw ɑː ɾ ɚ\nwater\t0.1\tw ɑː tʰ ɚ\nlittle\tl ɪ ɾ ɫ̩\n", "utf-8")
    said = {word: [way.phones for way in Lexicon(path).pronunciations(word)] for word in ("water", "little")}
    assert said == {
        "water": [("W", "AA", "T", "ER"), ("W", "AA", "D", "ER")],
        "little": [("L", "IH", "T", "AH", "L"), ("L", "IH", "D", "AH", "L")],
    }
    path.write_text("water\tw ɑː ɾ ɚ\nloch\tl ɔ x\n", "utf-8")
    with pytest.raises(
        DataError, match=r"mfa\.dict:2: unknown phone 'x': .* or IPA phones of English alone$"
    ):
        Lexicon(path)


def test_a_dictionary_of_ones_own_in_either_format(tmp_path: Path) -> None:
    path = own(
        tmp_path,
        "\ufeff;;; a comment, then the old format: capitals, two spaces, (1) for the second\r\n"
        "# another comment\r\n"
        "\r\n"
        "ZOOF  Z UW1 F\r\n"
        "ZOOF(1)  Z UH1 F # rare\r\n"
        "zoof\tZ AA F\r\n"
        "éclair EY K L EH1 R\r\n",
    )
    lexicon = Lexicon(path)
    assert list(lexicon) == ["zoof", "éclair"]
    assert ways(lexicon, "zoof") == ["Z UW F", "Z UH F", "Z AA F"]
    assert ways(lexicon, "Éclair") == ["EY K L EH R"]
    assert source(lexicon, "zoof's") == "possessive"
    assert source(lexicon, "dog") == "g2p"  # in the bundled dictionary, not in this one


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("dog D AO G\ncat K AE1 X\n", 2, "unknown phone 'X'"),
        ("dog D AO G\n\n# comment\ncat k ae t\n", 4, "unknown phone 'k'"),
        ("dog D AO3 G\n", 1, "unknown phone 'AO3'"),
        ("dog D AO G\ncat\n", 2, "no phones after 'cat'"),
        ("dog # D AO G\n", 1, "no phones after 'dog'"),
        (b"dog D AO G\ncaf\xe9 K AE F EY\n", 2, "not UTF-8"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, text: str | bytes, line: int, says: str) -> None:
    path = own(tmp_path, text)
    with pytest.raises(DataError) as caught:
        Lexicon(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: ")
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "\n\n", ";;; only a comment\n"])
def test_a_dictionary_without_entries_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="no entries"):
        Lexicon(own(tmp_path, text))


def test_a_dictionary_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.dict", tmp_path):
        with pytest.raises(DataError) as caught:
            Lexicon(path)
        assert str(path) in str(caught.value)


def test_a_speller_of_ones_own(lexicon: Lexicon) -> None:
    mine = Lexicon(g2p=lambda word: ["AH"] * len(word))
    assert ways(mine, "zoof") == ["AH AH AH AH"]
    assert mine.pronunciations("dog") == lexicon.pronunciations("dog")
