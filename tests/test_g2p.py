"""What a user relies on of guesses from spelling: plausible, the same every time, and errors that name the letter."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from phonestream.asr.lexicon import g2p_train
from phonestream.asr.lexicon.g2p import METADATA_KEY, GraphoneModel, g2p
from phonestream.asr.lexicon.graphones import align, estimate
from phonestream.asr.lexicon.lexicon import Lexicon
from phonestream.asr.lexicon.phones import PHONES
from phonestream.errors import ConfigError, DataError, ModelError

SHIPPED = Path(g2p_train.__file__).parent / "data" / "g2p.safetensors"


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon()


@pytest.fixture(scope="module")
def short_words(lexicon: Lexicon) -> list[str]:
    return [word for word in g2p_train.spelt_words(lexicon) if len(word) <= 8]


@pytest.fixture(scope="module")
def shipped() -> GraphoneModel:
    return GraphoneModel.load(SHIPPED)


@pytest.fixture(scope="module")
def small(lexicon: Lexicon, short_words: list[str]) -> bytes:
    """A model of one in sixteen of the short words that are not held out."""
    return g2p_train.train(lexicon, [word for word in short_words if not g2p_train.held_out(word)][::16])


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("zib", "Z IH B"),
        ("strug", "S T R AH G"),
        ("frunk", "F R AH NG K"),
        ("drimble", "D R IH M B AH L"),
        ("vlogger", "V L AA G ER"),
        ("fizzlechip", "F IH Z AH L CH IH P"),
        ("phonestream", "F OW N S T R IY M"),
        ("unfriended", "AH N F R EH N D IH D"),
        ("tweetable", "T W IY T AH B AH L"),
        ("gostak", "G AA S T AH K"),
    ],
)
def test_invented_words_are_said_as_a_reader_would(lexicon: Lexicon, word: str, phones: str) -> None:
    assert word not in lexicon
    assert " ".join(g2p(word)) == phones


@pytest.mark.parametrize("word", ["Zib", "ZIB", "zíb", "z-ib", "zi'b", " zib "])
def test_case_accents_and_silent_signs_make_no_difference(word: str) -> None:
    assert g2p(word) == ["Z", "IH", "B"]


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=60))
@settings(deadline=None)
def test_any_letters_have_phones_and_always_the_same(shipped: GraphoneModel, word: str) -> None:
    phones = g2p(word)
    assert phones
    assert set(phones) <= set(PHONES)
    assert len(phones) <= 2 * len(word)
    assert shipped(word) == phones


@pytest.mark.parametrize("letter", "abcdefghijklmnopqrstuvwxyz")
def test_a_letter_is_never_silent_alone(letter: str) -> None:
    assert g2p(letter)
    assert g2p(letter * 7)


@given(st.text())
@settings(deadline=None)
def test_any_text_has_phones_or_a_one_line_error(word: str) -> None:
    try:
        assert g2p(word)
    except DataError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("%%%", "'%' in the word '%%%'"),
        ("", "no letters to pronounce in the word ''"),
        ("'-'", "no letters"),
        ("b2b", "'2' in the word 'b2b'"),
        ("хай", "'х' in the word 'хай'"),
        ("a" * 1000, "1000 letters"),
    ],
)
def test_what_has_no_english_letters_is_an_error(word: str, says: str) -> None:
    with pytest.raises(DataError) as caught:
        g2p(word)
    assert says in str(caught.value)


def test_a_result_can_be_changed_without_changing_the_next() -> None:
    g2p("zib").clear()
    assert g2p("zib") == ["Z", "IH", "B"]


# Accuracy.


def test_unseen_words_are_mostly_right(
    lexicon: Lexicon, short_words: list[str], small: bytes, tmp_path: Path
) -> None:
    """With a twentieth of the dictionary to learn from; asr/lexicon/data/README.md has the figures of all of it."""
    path = tmp_path / "small.safetensors"
    path.write_bytes(small)
    unseen = [word for word in short_words if g2p_train.held_out(word)][::16]
    accuracy = g2p_train.measure(GraphoneModel.load(path), lexicon, unseen)
    assert accuracy.words > 200
    assert accuracy.word_errors < 0.5
    assert accuracy.phone_errors < 0.15


def test_the_shipped_model_knows_the_dictionary(lexicon: Lexicon, short_words: list[str]) -> None:
    accuracy = g2p_train.measure(g2p, lexicon, short_words[::200])
    assert accuracy.word_errors < 0.12
    assert accuracy.phone_errors < 0.04


def test_measuring_counts_words_and_phones(lexicon: Lexicon) -> None:
    said = {"dog": ["D", "AO", "G"], "tomato": ["T", "AH", "M", "AA", "T", "OW"], "cat": ["K", "AE"]}
    accuracy = g2p_train.measure(said.__getitem__, lexicon, list(said))
    assert accuracy == (3, 1 / 3, 2 / 3, 2 / 12)  # tomato is right by its second pronunciation


# Training.


def test_training_is_deterministic(lexicon: Lexicon, short_words: list[str], small: bytes) -> None:
    again = g2p_train.train(lexicon, [word for word in short_words if not g2p_train.held_out(word)][::16])
    assert again == small


def test_aligned_graphones_spell_the_word_and_say_its_phones(
    lexicon: Lexicon, short_words: list[str]
) -> None:
    entries = [(word, lexicon.pronunciations(word)[0].phones) for word in short_words[::20]]
    for (word, phones), graphones in zip(entries, align(entries, estimate(entries)), strict=True):
        if len(phones) > 2 * len(word):
            assert not graphones
            continue
        assert "".join(graphone.letter for graphone in graphones) == word
        assert sum((graphone.phones for graphone in graphones), ()) == phones


def test_the_probabilities_after_every_context_sum_to_one(small: bytes, tmp_path: Path) -> None:
    """Interpolation, pruning and back-off weights are right together only if nothing is lost or counted twice."""
    path = tmp_path / "small.safetensors"
    path.write_bytes(small)
    model = GraphoneModel.load(path)
    symbols = range(1, len(model.graphones) + 2)
    contexts: list[tuple[int, ...]] = [(model._child(0, 0), 0)]
    for symbol in (5, 60, 5, 17, 100):
        contexts.append(model._advance(contexts[-1], symbol))
    contexts.append((0,))
    for context in contexts:
        total = sum(np.exp(model._log_prob(context, symbol)) for symbol in symbols)
        assert total == pytest.approx(1, abs=0.05)  # costs are rounded to 0.08 nats


def test_too_little_to_learn_from_is_an_error(lexicon: Lexicon) -> None:
    with pytest.raises(ConfigError, match="larger dictionary"):
        g2p_train.train(lexicon, ["dog", "cat"])


def test_the_command_writes_a_model_that_a_lexicon_can_use(
    lexicon: Lexicon, short_words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dictionary, output = tmp_path / "mine.dict", tmp_path / "mine.safetensors"
    dictionary.write_text(
        "".join(f"{word} {' '.join(lexicon.pronunciations(word)[0].phones)}\n" for word in short_words[::20])
    )
    assert g2p_train.main(["--lexicon", str(dictionary), "--output", str(output)]) == 0
    assert "phone error rate" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    said = Lexicon(dictionary, g2p=GraphoneModel.load(output)).pronunciations("zib")
    assert [pronunciation.phones for pronunciation in said] == [("Z", "IH", "B")]


def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert g2p_train.main(["--lexicon", str(tmp_path / "none"), "--output", str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1


# The file.


def test_the_shipped_file_is_small() -> None:
    assert SHIPPED.stat().st_size <= 2_000_000


def damaged(small: bytes, change: str) -> bytes:
    """`small` with one thing wrong."""
    tensors = {name: tensor.copy() for name, tensor in load(small).items()}
    length = int.from_bytes(small[:8], "little")
    header = json.loads(json.loads(small[8 : 8 + length])["__metadata__"][METADATA_KEY])
    match change:
        case "truncated":
            return small[: len(small) // 2]
        case "not safetensors":
            return b"PK\x03\x04" + small
        case "no metadata":
            return save(tensors)
        case "another format":
            header["format"] = 2
        case "a step of nan":
            header["step"] = float("nan")
        case "a field missing":
            del header["graphones"]
        case "a foreign phone":
            header["graphones"][0][1] = "XX"
        case "a letter without phones":
            header["graphones"] = [g if g[0] != "q" else ["q", ""] for g in header["graphones"]]
        case "a tensor missing":
            del tensors["cost"]
        case "another type":
            tensors["cost"] = tensors["cost"].astype(np.float32)
        case "a tensor too short":
            tensors["symbol"] = tensors["symbol"][:-1]
        case "a node too many":
            tensors["children"][5] += 1
        case "a back-off too few":
            tensors["back_off"] = tensors["back_off"][1:]
        case "children out of order":
            tensors["symbol"][1:3] = tensors["symbol"][1:3][::-1]
        case "children before their parents":
            tensors["children"] = np.sort(tensors["children"])
    return save(tensors, {METADATA_KEY: json.dumps(header)})


@pytest.mark.parametrize(
    "change",
    [
        "truncated",
        "not safetensors",
        "no metadata",
        "another format",
        "a step of nan",
        "a field missing",
        "a foreign phone",
        "a letter without phones",
        "a tensor missing",
        "another type",
        "a tensor too short",
        "a node too many",
        "a back-off too few",
        "children out of order",
        "children before their parents",
    ],
)
def test_a_file_that_is_not_a_model_is_an_error(small: bytes, change: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(damaged(small, change))
    with pytest.raises(ModelError) as caught:
        GraphoneModel.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.safetensors"):
        GraphoneModel.load(tmp_path / "none.safetensors")
