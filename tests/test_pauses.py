"""Pauses between the words of a training recording: where they are put, and that phones and rows follow."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from small_training import CONFIG
from teacher_rows import HOP, even_rows, spiky

from phonestream.asr.corpora.corpus import load_cuts
from phonestream.asr.lexicon.lexicon import bundled
from phonestream.asr.lexicon.split import split_into_words
from phonestream.asr.training.audio_cache import CachedCorpus, cached_corpus
from phonestream.asr.training.augment import Noises
from phonestream.asr.training.batches import Batches
from phonestream.asr.training.config import AugmentConfig
from phonestream.asr.training.distillation import check_teacher
from phonestream.asr.training.pauses import FADE, GROWTH, boundaries, put_pauses
from phonestream.asr.training.teacher.lead import spikes
from phonestream.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = [[3, 4], [5], [6, 6, 7], [8, 9], [10]]
PAUSING = AugmentConfig(pause_probability=1.0, pause_seconds=(0.1, 0.4))


@pytest.fixture
def corpus(small_corpus: Path) -> CachedCorpus:
    return cached_corpus(
        list(load_cuts(small_corpus, "train")), longest_seconds=35.0, report=lambda line: None
    )


def spoken(lead: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Ones in which `WORDS` are spoken, quieter between them; and rows: 10 a phone, `lead` of silence about all."""
    labels = [label for word in WORDS for label in word]
    rows = spiky(
        [(lead + 10 * place + 5, label) for place, label in enumerate(labels)], 10 * len(labels) + 2 * lead
    )
    samples = np.ones(len(rows) * HOP, np.float32)
    word = 0
    for said in WORDS[:-1]:
        word += len(said)
        middle = (lead + 10 * word) * HOP
        samples[middle - HOP // 2 : middle + HOP // 2] = 0.25
    return samples, rows


def test_words_begin_where_it_is_quietest() -> None:
    samples, rows = spoken()
    assert boundaries(samples, WORDS, rows, 0.02) == [40, 50, 80, 100]
    assert boundaries(samples, WORDS, rows[:5], 0.02) == []


@pytest.mark.parametrize("seed", range(12))
def test_phones_and_rows_follow_the_words_that_are_left(seed: int) -> None:
    samples, rows = spoken()
    spaced = put_pauses(samples, lambda: WORDS, rows, 0.02, PAUSING, np.random.default_rng(seed))
    assert spaced is not None
    assert len(spaced.samples) == len(spaced.rows) * HOP
    assert len(spaced.rows) <= GROWTH * len(rows)
    starts = [sum(map(len, WORDS[:word])) for word in range(len(WORDS) + 1)]
    flat = [label for word in WORDS for label in word]
    assert spaced.labels in {
        tuple(flat[low:high])
        for low, *higher in (starts[at:] for at in range(len(starts)))
        for high in higher
    }
    assert tuple(label for label, _ in spikes(spaced.rows)) == spaced.labels
    silent = np.flatnonzero(
        spaced.samples[: len(spaced.samples) // HOP * HOP].reshape(-1, HOP).max(axis=1) == 0
    )
    for label, place in spikes(spaced.rows):
        assert label in flat
        assert spaced.samples[place * HOP] == 1.0
    runs = np.split(silent, np.flatnonzero(np.diff(silent) > 1) + 1) if len(silent) else []
    for run in runs:
        assert 5 <= len(run) <= 20
        before = spaced.samples[run[0] * HOP - FADE : run[0] * HOP]
        assert all(left >= right for left, right in pairwise(before.tolist()))


def test_about_half_of_the_boundaries_get_a_pause() -> None:
    samples, rows = spoken(200)  # so much silence that hardly a word is left out
    pauses = 0
    for seed in range(50):
        spaced = put_pauses(samples, lambda: WORDS, rows, 0.02, PAUSING, np.random.default_rng(seed))
        assert spaced is not None
        silent = spaced.samples[::HOP] == 0
        pauses += int((np.diff(silent.astype(int)) == 1).sum())
    assert 70 < pauses < 130  # of 200


def test_what_is_switched_off_draws_nothing() -> None:
    samples, rows = spoken()
    rng = np.random.default_rng(1)
    assert put_pauses(samples, lambda: WORDS, rows, 0.02, AugmentConfig(), rng) is None
    assert rng.random() == np.random.default_rng(1).random()
    assert put_pauses(samples, lambda: WORDS[:1], rows, 0.02, PAUSING, rng) is None
    assert put_pauses(samples, list, rows, 0.02, PAUSING, rng) is None


def test_a_batch_with_pauses_teaches_the_phones_that_are_in_it(
    corpus: CachedCorpus, small_corpus: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        CONFIG, distillation=0.5, batch_seconds=200.0, augment=dataclasses.replace(PAUSING, speeds=(0.9, 1.1))
    )
    rows_of = even_rows(small_corpus, tmp_path / "rows.npz")
    batch = Batches(corpus, Noises([], [], 0.0), config, teacher_rows=rows_of).batch(0)
    plain = Batches(
        corpus,
        Noises([], [], 0.0),
        dataclasses.replace(config, augment=dataclasses.replace(config.augment, pause_probability=0.0)),
        teacher_rows=rows_of,
    ).batch(0)
    assert batch.teacher is not None
    assert batch.phones.sum() < plain.phones.sum()
    targets = np.split(batch.targets.numpy(), np.cumsum(batch.phones.numpy())[:-1])
    for teacher, labels, count in zip(batch.teacher.numpy(), targets, batch.rows.tolist(), strict=True):
        heard = [label for label, _ in spikes(teacher[:count])]
        # 40 ms are longer than some of the even spikes' distances: equal neighbours become one
        assert len(heard) >= 0.9 * len(labels)
        assert set(heard) <= set(labels.tolist())


def test_phones_are_told_apart_by_words() -> None:
    lexicon = bundled()
    said = lexicon.phones("the read dog's u.s. 12")
    parts = split_into_words("the read dog's u.s. 12", said, lexicon)
    assert [phone for part in parts for phone in part] == said
    assert parts[1] in {("R", "EH", "D"), ("R", "IY", "D")}
    assert split_into_words("the either", ["DH", "IY", "AY", "DH", "ER"], lexicon) == [
        ("DH", "IY"),
        ("AY", "DH", "ER"),
    ]
    assert split_into_words("the cat", ["DH", "AH", "D", "AO", "G"], lexicon) == []
    assert split_into_words("the", ["DH", "AH", "D"], lexicon) == []
    assert split_into_words("й", ["Y"], lexicon) == []
    assert split_into_words("", [], lexicon) == []


def test_pauses_need_rows_and_a_range_of_seconds() -> None:
    with pytest.raises(ConfigError, match=r"pause_probability is above 0.*--teacher-rows"):
        check_teacher(None, dataclasses.replace(CONFIG, augment=PAUSING))
    for seconds in ((0.5, 0.1), (-1.0, 0.1), (0.1, 11.0)):
        with pytest.raises(ConfigError, match="pause_seconds"):
            AugmentConfig(pause_seconds=seconds)
