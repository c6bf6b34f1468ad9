"""Steps of single words: what is cut out of recordings, and the loss that tells a word from its rivals."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import CONFIG
from teacher_rows import HOP, even_rows, spiky

from phonestream.asr.corpora.corpus import load_cuts
from phonestream.asr.lexicon.phones import BLANK, encode
from phonestream.asr.training.audio_cache import cached_corpus
from phonestream.asr.training.augment import Noises
from phonestream.asr.training.batches import Batch, Batches
from phonestream.asr.training.config import AugmentConfig
from phonestream.asr.training.distillation import check_teacher
from phonestream.asr.training.distributed import Processes
from phonestream.asr.training.single_words import AROUND, of_single_words, single_words
from phonestream.asr.training.teacher.lead import spikes
from phonestream.asr.training.word_discrimination import path_scores, word_discrimination_loss
from phonestream.errors import ConfigError
from phonestream.streaming.spotting.phone_tree import STEEPEST, PhoneTree, relative

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = [[3, 4], [5], [6, 6, 7], [8, 9], [10, 11]]
QUIET = Noises([], [], 0.0)


def spoken() -> tuple[np.ndarray, np.ndarray]:
    """Ones in which `WORDS` are spoken, 10 rows a phone; and rows."""
    labels = [label for word in WORDS for label in word]
    rows = spiky([(10 * place + 5, label) for place, label in enumerate(labels)], 10 * len(labels))
    return np.ones(len(rows) * HOP, np.float32), rows


def random_rows(recordings: int, rows: int, seed: int = 2) -> torch.Tensor:
    torch.manual_seed(seed)
    return (4 * torch.randn(recordings, rows, 40)).log_softmax(-1)


@pytest.mark.parametrize("seed", range(5))
def test_words_are_cut_out_with_their_rows_and_silence_about_them(seed: int) -> None:
    samples, rows = spoken()
    found = single_words(samples, WORDS, rows, 0.02, QUIET, np.random.default_rng(seed))
    assert {one.labels for one in found} == {(6, 6, 7), (8, 9)}  # neither of one phone nor at an end
    for one in found:
        assert len(one.samples) == len(one.rows) * HOP
        assert tuple(label for label, _ in spikes(one.rows)) == one.labels
        heard = np.flatnonzero(one.samples)
        for silence in (heard[0], len(one.samples) - heard[-1]):
            assert AROUND[0] - 0.02 <= silence / (HOP / 0.02) <= AROUND[1] + 0.02


def test_fast_and_slow_words_are_left_out() -> None:
    samples, rows = spoken()
    for row_seconds in (0.004, 0.06):  # 80 ms and 1.2 s for two phones
        hop = round(16_000 * row_seconds)
        other = np.ones(len(rows) * hop, np.float32)
        assert single_words(other, WORDS, rows, row_seconds, QUIET, np.random.default_rng(0)) == []
    assert single_words(samples, WORDS[:2], rows, 0.02, QUIET, np.random.default_rng(0)) == []
    assert single_words(samples, WORDS, rows[:5], 0.02, QUIET, np.random.default_rng(0)) == []


def test_noise_lies_behind_most_words() -> None:
    samples, rows = spoken()
    noises = Noises([np.full(20_000, 0.5, np.float32)], [], 0.0)
    noisy = [
        bool(one.samples.all())
        for seed in range(30)
        for one in single_words(samples, WORDS, rows, 0.02, noises, np.random.default_rng(seed))
    ]
    assert 0.5 < np.mean(noisy) < 0.9


def test_a_share_of_the_steps_is_of_single_words(small_corpus: Path, tmp_path: Path) -> None:
    corpus = cached_corpus(
        list(load_cuts(small_corpus, "train")), longest_seconds=35.0, report=lambda line: None
    )
    config = dataclasses.replace(
        CONFIG,
        distillation=0.5,
        batch_seconds=200.0,
        word_steps=0.4,
        augment=AugmentConfig(speeds=(0.9, 1.1)),
    )
    batches = Batches(corpus, QUIET, config, teacher_rows=even_rows(small_corpus, tmp_path / "rows.npz"))
    seen = [batches.batch(step) for step in range(12)]
    assert [batch.single_words for batch in seen] == [of_single_words(config, step) for step in range(12)]
    for batch in seen:
        lengths = batch.audio.shape[1], batch.mask.shape[0], len(batch.rows), len(batch.lead_index)
        assert lengths[1] == lengths[2] == lengths[3]
        assert batch.phones.sum() == len(batch.targets)
        assert (batch.rows.max() <= 2 * 100) or not batch.single_words
    again = batches.batch(next(batch.step for batch in seen if batch.single_words))
    assert torch.equal(again.audio, next(batch.audio for batch in seen if batch.single_words))
    assert sum(of_single_words(config, step) for step in range(1000)) == pytest.approx(400, abs=50)
    assert not any(of_single_words(CONFIG, step) for step in range(100))


@pytest.mark.parametrize("taught", [1, None])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_the_number_of_processes_changes_no_word_of_a_step(
    count: int, taught: int | None, small_corpus: Path, tmp_path: Path
) -> None:
    corpus = cached_corpus(
        list(load_cuts(small_corpus, "train")), longest_seconds=35.0, report=lambda line: None
    )
    config = dataclasses.replace(CONFIG, distillation=0.5, batch_seconds=20.0, word_steps=1.0)
    rows = even_rows(small_corpus, tmp_path / "rows.npz")
    longest = sorted(corpus.utterances, key=lambda utterance: -utterance.samples)[:taught]
    rows = dataclasses.replace(rows, places={one.id: rows.places[one.id] for one in longest})
    noises = Noises([], [], 0.0)

    def learnt(batch: Batch) -> list[list[int]]:
        words = np.split(batch.targets.numpy(), np.cumsum(batch.phones.numpy())[:-1])
        return [word.tolist() for word in words] if batch.weight else []

    for step in range(6):
        whole = Batches(corpus, noises, config, teacher_rows=rows).batch(step)
        shares = [
            Batches(corpus, noises, config, Processes(rank, count), rows).batch(step) for rank in range(count)
        ]
        assert sorted(learnt(whole)) == sorted(word for share in shares for word in learnt(share))
        assert all(share.single_words == whole.single_words for share in shares if share.weight)


def test_paths_score_as_in_the_tree_of_phones() -> None:
    rng = np.random.default_rng(4)
    words = [tuple(rng.integers(1, 40, rng.integers(2, 6)).tolist()) for _ in range(8)] + [(5, 5), (5, 5, 6)]
    log_probs = random_rows(3, 25)
    tree = PhoneTree(words, blank=BLANK)
    wanted = [tree.scores(tree.decode(tree.initial(), relative(rows.numpy()))) for rows in log_probs]
    rows = (log_probs - log_probs.amax(-1, keepdim=True)).clamp(min=STEEPEST)
    assert path_scores(rows, [words] * 3).numpy() == pytest.approx(np.array(wanted), abs=1e-4)
    fewer = path_scores(rows, [words, words[:3], words])
    assert fewer[1, :3].numpy() == pytest.approx(wanted[1][:3], abs=1e-4)
    assert (fewer[1, 3:] < -1e8).all()


def test_a_word_that_is_heard_costs_nothing_and_one_that_is_not_costs_what_its_rival_is_ahead() -> None:
    said = [encode(word) for word in (["G", "UH", "D"], ["G", "OY", "D"])]
    log_probs = torch.full((2, 12, 40), -9.0)
    log_probs[..., BLANK] = 0.0
    for place, label in enumerate(said[0]):
        log_probs[:, 2 + 2 * place, BLANK], log_probs[:, 2 + 2 * place, label] = -9.0, 0.0
    targets = torch.tensor([label for word in said for label in word])
    losses = [
        word_discrimination_loss(
            log_probs[:1], targets[part : part + 3], torch.tensor([12]), torch.tensor([3])
        )
        for part in (0, 3)
    ]
    assert losses[0] < 0.05
    assert losses[1] == pytest.approx(8.0, abs=0.1)  # a phone that is not there at all
    both = word_discrimination_loss(log_probs, targets, torch.tensor([12, 12]), torch.tensor([3, 3]))
    assert both == pytest.approx(sum(losses).item(), abs=1e-4)


def test_words_that_sound_alike_are_no_rivals() -> None:
    log_probs = torch.full((1, 12, 40), -9.0)
    log_probs[..., BLANK] = 0.0
    to = encode(["T", "UW"])  # as "too" and "two"; "to" is also T AH and T IH
    for place, label in enumerate(to):
        log_probs[:, 2 + 2 * place, BLANK], log_probs[:, 2 + 2 * place, label] = -9.0, 0.0
    log_probs[:, 4, encode(["AH"])[0]] = 0.0
    loss = word_discrimination_loss(log_probs, torch.tensor(to), torch.tensor([12]), torch.tensor([2]))
    assert loss < 0.1


def test_gradients_raise_the_word_and_leave_what_lies_behind_alone() -> None:
    scores = (4 * torch.randn(2, 20, 40, generator=torch.Generator().manual_seed(3))).requires_grad_()
    targets = torch.tensor(encode(["S", "T", "AA", "P", "G", "OW"]))
    rows, phones = torch.tensor([20, 12]), torch.tensor([4, 2])
    loss = word_discrimination_loss(scores.log_softmax(-1), targets, rows, phones)
    loss.backward()
    assert scores.grad is not None
    assert not scores.grad[1, 12:].any()
    better = (scores - 0.05 * scores.grad).detach()
    assert word_discrimination_loss(better.log_softmax(-1), targets, rows, phones) < loss


def test_single_words_need_rows_and_the_loss_needs_them() -> None:
    with pytest.raises(ConfigError, match=r"word_steps is above 0.*--teacher-rows"):
        check_teacher(None, dataclasses.replace(CONFIG, word_steps=0.5))
    with pytest.raises(ConfigError, match=r"word_discrimination is 2.*set word_steps"):
        dataclasses.replace(CONFIG, word_discrimination=2.0)
    with pytest.raises(ConfigError, match="word_steps"):
        dataclasses.replace(CONFIG, word_steps=1.5)
