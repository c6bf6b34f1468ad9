"""The language model of phones is a probability, as KenLM reads it, and worth its size."""

import gzip
import math
import subprocess
import sys
from pathlib import Path

import kenlm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonestream import DataError
from phonestream.asr.lexicon.phones import PHONES
from phonestream.asr.phone_lm.estimate import estimate, perplexity, save
from phonestream.streaming.beam_lm import bundled_language_models

MODELS = Path(__file__).parent.parent / "src" / "phonestream" / "models"


def references(speech_dir: Path) -> list[list[str]]:
    rows = [line.split("\t") for line in (speech_dir / "manifest.tsv").read_text().splitlines()]
    column = rows[0].index("phones")
    return [row[column].split() for row in rows[1:]]


@pytest.fixture(scope="module")
def sentences(speech_dir: Path) -> list[list[str]]:
    return references(speech_dir)


def total(model: kenlm.Model, history: list[str]) -> float:
    """The probabilities of all that can follow `history`, added up."""
    state = kenlm.State()
    model.BeginSentenceWrite(state)
    for phone in history:
        following = kenlm.State()
        model.BaseScore(state, phone, following)
        state = following
    return float(sum(10 ** model.BaseScore(state, word, kenlm.State()) for word in (*PHONES, "</s>")))


@pytest.mark.parametrize(("order", "prune"), [(2, 0.0), (3, 0.0), (6, 0.0), (6, 1e-3)])
def test_what_follows_any_history_adds_up_to_one(
    sentences: list[list[str]], order: int, prune: float, tmp_path: Path
) -> None:
    path = tmp_path / "lm.arpa.gz"
    save(estimate(sentences, order=order, prune=prune), path)
    model = kenlm.Model(str(path))
    assert model.order == order
    for history in ([], ["S"], ["ZH", "ZH"], *(sentence[:9] for sentence in sentences), sentences[0]):
        assert total(model, history) == pytest.approx(1, abs=2e-3)


@given(
    sentences=st.lists(st.lists(st.sampled_from(PHONES[:4]), max_size=6), min_size=1, max_size=6).filter(any),
    order=st.integers(2, 4),
)
@settings(deadline=None, max_examples=20)
def test_it_is_a_probability_however_little_there_is(
    sentences: list[list[str]], order: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("few") / "lm.arpa"
    save(estimate(sentences, order=order), path)
    model = kenlm.Model(str(path))
    assert all(phone in model for phone in PHONES)
    for history in ([], [PHONES[0]], [PHONES[1], PHONES[0]], [PHONES[9]]):
        assert total(model, history) == pytest.approx(1, abs=2e-3)


def test_it_knows_what_it_has_seen(sentences: list[list[str]], tmp_path: Path) -> None:
    values = []
    for order in (2, 3, 5):
        save(estimate(sentences[1:], order=order, prune=0), tmp_path / "lm.arpa")
        values.append(perplexity(tmp_path / "lm.arpa", sentences[1:]))
    assert values == sorted(values, reverse=True)
    assert perplexity(tmp_path / "lm.arpa", sentences[:1]) < len(PHONES)


def test_pruning_makes_it_smaller_and_repeats_count_once(sentences: list[list[str]]) -> None:
    whole, pruned = estimate(sentences, prune=0), estimate(sentences, prune=3e-4)
    assert sum(pruned.counts) < sum(whole.counts)
    assert estimate([*sentences, *sentences, []]) == estimate(sentences)
    assert whole.sentences == len(sentences)


def test_the_same_sentences_give_the_same_bytes(sentences: list[list[str]], tmp_path: Path) -> None:
    for name in ("a.arpa.gz", "b.arpa.gz"):
        save(estimate(reversed(sentences) if name[0] == "b" else sentences, order=3), tmp_path / name)
    assert (tmp_path / "a.arpa.gz").read_bytes() == (tmp_path / "b.arpa.gz").read_bytes()
    save(estimate(sentences, order=3), tmp_path / "c.arpa")
    assert gzip.decompress((tmp_path / "a.arpa.gz").read_bytes()) == (tmp_path / "c.arpa").read_bytes()


def test_the_bundled_one_is_small_and_foretells_speech(sentences: list[list[str]]) -> None:
    assert "default" in bundled_language_models()
    path = MODELS / "default.lm.arpa.gz"
    assert path.stat().st_size < 2_000_000
    assert perplexity(path, sentences) < 12


def test_what_cannot_be_learnt_from(tmp_path: Path) -> None:
    for sentences, changes, message in [
        ([], {}, "no phones"),
        ([[]], {}, "no phones"),
        ([["AA", "Q"]], {}, "unknown phone 'Q'"),
        ([["AA"]], {"order": 1}, "orders 2 to 6"),
        ([["AA"]], {"order": 7}, "orders 2 to 6"),
        ([["AA"]], {"prune": -1.0}, "prune -1"),
        ([["AA"]], {"prune": math.nan}, "prune nan"),
    ]:
        with pytest.raises(DataError, match=message):
            estimate(sentences, **changes)
    with pytest.raises(DataError, match="cannot be written: Not a directory"):
        save(estimate([["AA"]]), Path("/dev/null/lm.arpa"))
    save(estimate([["AA"]]), tmp_path / "lm.arpa")
    with pytest.raises(DataError, match="no sentences"):
        perplexity(tmp_path / "lm.arpa", [])


def test_the_command(speech_dir: Path, tmp_path: Path) -> None:
    output = tmp_path / "lm.arpa.gz"
    command = [sys.executable, "-m", "phonestream", "phone-lm", "--data", str(speech_dir), "--split", "dev"]
    result = subprocess.run(
        [*command, "--order", "3", "--measure", "test", "--output", str(output)],
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert first.startswith(f"{output}: 42 + ")
    assert second.startswith("test: perplexity ")
    assert kenlm.Model(str(output)).order == 3
