"""Rows in a file come back as they were, follow a recording's speed, and teach a student that hears noise."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_training import CONFIG, check_resumes, losses, write_toml
from teacher_rows import LABELS, logs, spiky

from phonestream.asr.corpora.corpus import load_cuts
from phonestream.asr.lexicon.phones import BLANK, PHONES
from phonestream.asr.model.encoder import Encoder
from phonestream.asr.training.audio_cache import cached_corpus
from phonestream.asr.training.augment import Noises
from phonestream.asr.training.batches import Batches
from phonestream.asr.training.checkpoint import load_checkpoint
from phonestream.asr.training.config import AugmentConfig
from phonestream.asr.training.distillation import trusted_rows
from phonestream.asr.training.losses import teacher_rows_loss
from phonestream.asr.training.process import SETTINGS
from phonestream.asr.training.teacher.lead import spikes
from phonestream.asr.training.teacher.rows import TeacherRows, load_rows, resample, sparse_rows, write_rows
from phonestream.asr.training.train import train, training_step
from phonestream.cli import main
from phonestream.errors import ConfigError, DataError

TAUGHT = dataclasses.replace(CONFIG, distillation=0.6, layer_drop=0.0)

pytestmark = pytest.mark.usefixtures("one_thread")


@given(seed=st.integers(0, 2**32), lengths=st.lists(st.integers(0, 400), min_size=1, max_size=5))
@settings(deadline=None, max_examples=20)
def test_a_file_keeps_the_four_best_labels_of_each_row(
    tmp_path_factory: pytest.TempPathFactory, seed: int, lengths: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    recordings = {}
    for index, length in enumerate(lengths):
        scores = rng.normal(0, 4, (length, LABELS))
        scores[rng.random(length) < 0.6, BLANK] += 40
        probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
        recordings[f"r{index}"] = probabilities / probabilities.sum(axis=1, keepdims=True)
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    given_rows = [(name, sparse_rows(logs(rows))) for name, rows in recordings.items()]
    size = write_rows(path, given_rows, row_seconds=0.02, lead_seconds=0.08, teacher="a test")
    assert size == path.stat().st_size
    found = load_rows(path)
    assert (found.row_seconds, found.lead_seconds) == (0.02, 0.08)
    assert "another" not in found
    for name, rows in recordings.items():
        dense = found.dense(name)
        assert dense.shape == rows.shape
        np.testing.assert_allclose(dense.sum(axis=1), 1.0, atol=1e-5)
        for ours, theirs in zip(dense, rows, strict=True):
            if theirs[BLANK] >= 0.98:
                assert ours[BLANK] == 1
                continue
            best = np.argsort(-theirs)[:4]
            assert set(np.flatnonzero(ours)) <= set(best)
            np.testing.assert_allclose(ours[best], theirs[best] / theirs[best].sum(), atol=1e-2)


@given(
    gaps=st.lists(st.integers(2, 9), min_size=1, max_size=20),
    runs=st.integers(1, 3),
    speed=st.sampled_from([0.5, 0.9, 1.0, 1.1, 1.5]),
)
def test_no_spike_is_lost_or_doubled_by_another_speed(gaps: list[int], runs: int, speed: float) -> None:
    places, at = [], 0
    for index, gap in enumerate(gaps):
        at += gap * 2
        places += [(at + row, 1 + index % 39) for row in range(runs)]
        at += runs
    rows = spiky(places, at + 4)
    count = round(len(rows) / speed)
    found = spikes(resample(rows, count, speed))
    expected = spikes(rows)
    assert [label for label, _ in found] == [label for label, _ in expected]
    for (_, row), (_, before) in zip(found, expected, strict=True):
        assert abs(row - before / speed) <= 1


def test_targets_follow_speed_row_length_and_lead(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    probabilities = spiky([(10, 3), (40, 7)], 60)
    write_rows(
        path, [("a", sparse_rows(logs(probabilities)))], row_seconds=0.02, lead_seconds=0.08, teacher=""
    )
    rows = load_rows(path)
    dense = rows.dense("a")
    np.testing.assert_allclose(rows.targets(dense, 60, 0.02, 1.0)[4:], probabilities[:-4], atol=1e-2)
    for count, row_seconds, speed in ((60, 0.02, 1.0), (30, 0.04, 1.0), (55, 0.02, 1.1), (67, 0.02, 0.9)):
        targets = rows.targets(dense, count, row_seconds, speed)
        assert targets.shape == (count, LABELS)
        found = dict(spikes(targets))
        for label, place in ((3, 10), (7, 40)):
            assert abs(found[label] - (0.02 * place / speed + 0.08) / row_seconds) <= 1
    earlier = dataclasses.replace(rows, lead_seconds=-0.1)
    assert dict(spikes(earlier.targets(dense, 60, 0.02, 1.0))) == {3: 5, 7: 35}
    assert rows.targets(dense, 2, 0.02, 1.0)[:, BLANK].tolist() == [1, 1]


@pytest.mark.parametrize("damage", ["no zip", "cut short", "phones", "labels", "counts", "missing"])
def test_a_damaged_file_is_refused_whole(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    write_rows(
        path, [("a", sparse_rows(logs(spiky([(3, 5)], 9))))], row_seconds=0.02, lead_seconds=0.0, teacher=""
    )
    with np.load(path) as file:
        table = {name: file[name] for name in file.files}
    match damage:
        case "no zip":
            path.write_bytes(b"rows")
        case "cut short":
            path.write_bytes(path.read_bytes()[:-40])
        case "phones":
            np.savez(path, **{**table, "phones": table["phones"][::-1]})
        case "labels":
            np.savez(path, **{**table, "labels": table["labels"] + np.uint8(41)})
        case "counts":
            np.savez(path, **{**table, "counts": table["counts"] - 8})
        case "missing":
            path.unlink()
    with pytest.raises(DataError, match="make it again with `phonestream teacher`") as error:
        load_rows(path)
    assert str(path) in str(error.value)


def test_the_loss_is_the_divergence_of_smeared_rows() -> None:
    torch.manual_seed(0)
    scores = torch.randn(3, 8, LABELS, requires_grad=True)
    teacher = torch.randn(3, 8, LABELS).softmax(-1)
    taught, rows = torch.tensor([True, False, True]), torch.tensor([8, 8, 3])
    loss = teacher_rows_loss(scores.log_softmax(-1), teacher, taught, rows)
    student = scores.detach().softmax(-1)
    expected = 0.0
    for recording, count in ((0, 8), (2, 3)):
        for row in range(count):
            beside = [max(row - 1, 0), row, min(row + 1, count - 1)]
            wanted, said = teacher[recording, beside].mean(0), student[recording, beside].mean(0)
            expected += float((wanted * (wanted / said).log()).sum())
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    loss.backward()
    assert scores.grad is not None
    assert scores.grad[1].abs().sum() == scores.grad[2, 3:].abs().sum() == 0
    same = teacher_rows_loss(teacher.log(), teacher, taught, rows)
    assert same.item() == pytest.approx(0.0, abs=1e-4)


def test_a_sharp_spike_a_row_away_costs_less_than_a_flat_one() -> None:
    def cost(student: np.ndarray) -> float:
        teacher = torch.from_numpy(spiky([(5, 9)], 12)).unsqueeze(0)
        log_probs = torch.from_numpy(logs(0.999 * student + 0.001 / LABELS)).unsqueeze(0)
        return teacher_rows_loss(log_probs, teacher, torch.tensor([True]), torch.tensor([12])).item()

    missed = cost(spiky([], 12))
    assert cost(spiky([(5, 9)], 12)) < cost(spiky([(6, 9)], 12)) < missed / 2


@pytest.fixture
def rows_file(small_corpus: Path, tmp_path: Path) -> Path:
    """Rows of all training recordings but the last: a spike in every tenth row."""
    corpus = cached_corpus(
        list(load_cuts(small_corpus, "train")), longest_seconds=35.0, report=lambda line: None
    )
    recordings = []
    for u in corpus.utterances[:-1]:
        spikes = [(row, 1 + row % 39) for row in range(5, u.samples // 320 - 5, 10)]
        recordings.append((u.id, sparse_rows(logs(spiky(spikes, -(-u.samples // 320))))))
    path = tmp_path / "rows.npz"
    write_rows(path, recordings, row_seconds=0.02, lead_seconds=0.04, teacher="spikes")
    return path


def test_a_batch_has_the_rows_of_its_recordings_at_the_speed_they_have(
    small_corpus: Path, rows_file: Path
) -> None:
    rows = load_rows(rows_file)
    corpus = cached_corpus(
        list(load_cuts(small_corpus, "train")), longest_seconds=35.0, report=lambda line: None
    )
    noisy = AugmentConfig(speeds=(0.9, 1.1), telephone_probability=0.5, room_probability=0.5)
    config = dataclasses.replace(TAUGHT, batch_seconds=200.0, augment=noisy)
    batches = Batches(corpus, Noises([], [], 0.0), config, teacher_rows=rows)
    batch, plain = batches.batch(0), Batches(corpus, Noises([], [], 0.0), config).batch(0)
    assert plain.teacher is None
    assert torch.equal(batch.audio, plain.audio)
    assert batch.teacher is not None
    assert batch.taught is not None
    assert int((~batch.taught).sum()) == 1
    _, utterances = batches.recordings(0)
    for utterance, taught, targets, count in zip(
        utterances, batch.taught.tolist(), batch.teacher.numpy(), batch.rows.tolist(), strict=True
    ):
        assert taught == (utterance.id in rows)
        if taught:
            speed = utterance.samples / 640 / count
            assert min(abs(speed - 0.9), abs(speed - 1.1)) < 0.02
            np.testing.assert_allclose(targets[:count].sum(axis=1), 1.0, atol=1e-5)
            first = next(row for _, row in spikes(targets[:count]))
            assert abs(first - (5 * 0.02 / speed + 0.04) / 0.04) <= 1
        else:
            assert not targets.any()


def test_a_recording_without_rows_is_learnt_from_its_transcript_by_all_of_the_loss(
    small_corpus: Path, rows_file: Path
) -> None:
    corpus = cached_corpus(
        list(load_cuts(small_corpus, "train")), longest_seconds=35.0, report=lambda line: None
    )
    nothing = dataclasses.replace(load_rows(rows_file), places={})
    student, losses = Encoder(TAUGHT.model), []
    for config, rows in ((TAUGHT, nothing), (dataclasses.replace(TAUGHT, distillation=0.0), None)):
        batch = Batches(corpus, Noises([], [], 0.0), config, teacher_rows=rows).batch(0)
        losses.append(training_step(student, batch, config, torch.device("cpu")).loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_rows_that_contradict_the_transcript_are_left_out(small_corpus: Path, tmp_path: Path) -> None:
    corpus = cached_corpus(
        list(load_cuts(small_corpus, "train")), longest_seconds=35.0, report=lambda line: None
    )
    recordings = []
    for index, utterance in enumerate(corpus.utterances):
        said = list(utterance.labels)
        wrong = (0, len(said) // 5, len(said) // 3)[index % 3]  # a phone heard as the next one
        heard = [1 + label % len(PHONES) if place < wrong else label for place, label in enumerate(said)]
        spikes = [(2 * place, label) for place, label in enumerate(heard)]
        recordings.append((utterance.id, sparse_rows(logs(spiky(spikes, 2 * len(said))))))
    path = tmp_path / "rows.npz"
    write_rows(path, recordings, row_seconds=0.02, lead_seconds=0.0, teacher="")
    said_of: list[str] = []
    for most, bad in ((0.25, (2,)), (0.01, (1, 2)), (1.0, ())):
        kept = trusted_rows(load_rows(path), corpus, most, said_of.append)
        assert [u.id in kept for u in corpus.utterances] == [
            index % 3 not in bad for index in range(len(corpus.utterances))
        ]
    assert ["err too often" in line for line in said_of] == [True, True]


def test_a_student_learns_the_rows_and_goes_on_with_the_same_file(
    small_corpus: Path, rows_file: Path, tmp_path: Path
) -> None:
    rows = load_rows(rows_file)
    config = dataclasses.replace(TAUGHT, steps=20, distillation=1.0, learning_rate=2e-2)
    train(config, tmp_path / "run", small_corpus, teacher_rows=rows)
    course = losses(tmp_path / "run")
    assert np.mean(course[-5:]) < 0.6 * course[0]
    assert load_checkpoint(tmp_path / "run").teacher == rows.digest
    other = dataclasses.replace(rows, digest="other")
    with pytest.raises(ConfigError, match="another teacher"):
        train(config, tmp_path / "run", small_corpus, teacher_rows=other, resume=True)
    check_resumes(dataclasses.replace(TAUGHT, consistency=0.2), small_corpus, tmp_path, teacher_rows=rows)


def test_the_command_line_takes_a_file_of_rows(
    small_corpus: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SETTINGS.items():  # or the command would start itself again
        monkeypatch.setenv(name, value)
    recipe = write_toml(tmp_path / "student.toml", dataclasses.replace(TAUGHT, steps=2))
    arguments = ["train", str(recipe), "--run", str(tmp_path / "run"), "--data", str(small_corpus)]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--threads", "1", "--teacher-rows", str(rows_file)])
    assert ended.value.code == 0
    assert load_checkpoint(tmp_path / "run").teacher == load_rows(rows_file).digest


def test_rows_that_cannot_teach_are_refused(small_corpus: Path, rows_file: Path, tmp_path: Path) -> None:
    rows: TeacherRows = load_rows(rows_file)
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match="distillation is 0"):
        train(CONFIG, run, small_corpus, teacher_rows=rows)
    with pytest.raises(ConfigError, match="leave --teacher or --teacher-rows out"):
        train(TAUGHT, run, small_corpus, teacher_rows=rows, teacher=Encoder(TAUGHT.model))
    with pytest.raises(ConfigError, match="of none of the training recordings"):
        train(TAUGHT, run, small_corpus, teacher_rows=dataclasses.replace(rows, places={}))
    assert not run.exists()
