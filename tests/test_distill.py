"""A student learns its teacher's rows, the same whether it was stopped or not, and only from a teacher that fits."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import CONFIG, MODEL, batch_of, check_resumes, losses, write_toml
from torch.nn import functional

from phonestream.asr.model.config import to_dict
from phonestream.asr.model.encoder import FRAME, Encoder
from phonestream.asr.training.checkpoint import load_checkpoint, load_encoder
from phonestream.asr.training.config import AugmentConfig
from phonestream.asr.training.distillation import fingerprint, teacher_log_probs
from phonestream.asr.training.losses import distillation_loss
from phonestream.asr.training.process import SETTINGS
from phonestream.asr.training.train import train, training_step
from phonestream.cli import main
from phonestream.errors import ConfigError

CONFIG = dataclasses.replace(CONFIG, distillation=0.5)
CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def teacher() -> Encoder:
    """One wider than the student, random but for a front end that does not drown the rest."""
    torch.manual_seed(5)
    encoder = Encoder(dataclasses.replace(MODEL, width=24, feed_forward=48))
    encoder.frontend.mean.fill_(10.0)
    encoder.frontend.scale.fill_(0.3)
    return encoder


def test_the_divergence_is_kl_over_the_rows_of_each_recording() -> None:
    torch.manual_seed(0)
    student = torch.randn(3, 9, 40, requires_grad=True)
    teacher = torch.randn(3, 9, 40).log_softmax(-1)
    rows = torch.tensor([9, 4, 0])
    got = distillation_loss(student.log_softmax(-1), teacher, rows)
    expected = sum(
        float((teacher[i, t].exp() * (teacher[i, t] - student[i, t].detach().log_softmax(-1))).sum())
        for i, count in enumerate(rows.tolist())
        for t in range(count)
    )
    assert got.item() == pytest.approx(expected, rel=1e-5)
    got.backward()
    assert student.grad is not None
    for i, count in enumerate(rows.tolist()):
        torch.testing.assert_close(
            student.grad[i, :count],
            (student[i, :count].softmax(-1) - teacher[i, :count].exp()).detach(),
            atol=1e-6,
            rtol=1e-5,
        )
        assert student.grad[i, count:].abs().sum() == 0
    assert distillation_loss(teacher, teacher, rows).item() == pytest.approx(0.0, abs=1e-6)


def test_the_teacher_hears_the_augmented_audio_without_masks_and_learns_nothing(
    small_corpus: Path, teacher: Encoder
) -> None:
    masked = dataclasses.replace(
        CONFIG, augment=AugmentConfig(speeds=(1.1,), frequency_masks=8, time_masks_per_second=9.0)
    )
    batch = batch_of(small_corpus, masked)
    assert batch.mask.any()
    before = fingerprint(teacher)
    rows = teacher_log_probs(teacher.eval(), batch)
    for index, count in enumerate(batch.rows.tolist()):
        alone = batch.audio[index : index + 1, : (count + MODEL.look_ahead_frames) * FRAME]
        with torch.no_grad():
            expected = teacher.offline(alone)[0]
        torch.testing.assert_close(rows[index, :count], expected, atol=1e-4, rtol=0)
    training_step(Encoder(MODEL), batch, masked, CPU, teacher)
    assert fingerprint(teacher) == before
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_the_share_weighs_the_two_losses(small_corpus: Path, teacher: Encoder) -> None:
    teacher.eval()
    student = Encoder(MODEL)
    batch = batch_of(small_corpus, CONFIG)
    by_share = {
        share: training_step(
            student, batch, dataclasses.replace(CONFIG, distillation=share, layer_drop=0.0), CPU, teacher
        )[0]
        for share in (0.0, 0.25, 1.0)
    }
    assert by_share[0.25] == pytest.approx(0.75 * by_share[0.0] + 0.25 * by_share[1.0], rel=1e-5)
    with torch.no_grad():
        heard = student.offline(batch.audio, feature_mask=batch.mask)
    alone = distillation_loss(heard, teacher_log_probs(teacher, batch), batch.rows) / batch.phones.sum()
    assert by_share[1.0] == pytest.approx(alone.item(), rel=1e-5)


def test_a_student_comes_to_say_what_its_teacher_says(
    small_corpus: Path, teacher: Encoder, tmp_path: Path
) -> None:
    config = dataclasses.replace(CONFIG, steps=20, distillation=1.0, layer_drop=0.0, learning_rate=2e-2)
    train(config, tmp_path / "run", small_corpus, teacher=teacher)
    course = losses(tmp_path / "run")
    assert np.mean(course[-5:]) < 0.5 * course[0]


def test_stopped_and_resumed_it_learns_the_same(small_corpus: Path, teacher: Encoder, tmp_path: Path) -> None:
    check_resumes(CONFIG, small_corpus, tmp_path, teacher)


def test_a_run_teaches_through_the_command_line(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, recipe, run = tmp_path / "teacher", tmp_path / "student.toml", tmp_path / "run"
    train(dataclasses.replace(CONFIG, distillation=0.0, steps=2), model, small_corpus)
    write_toml(recipe, CONFIG)
    for name, value in SETTINGS.items():  # or the command would start itself again
        monkeypatch.setenv(name, value)
    arguments = ["train", str(recipe), "--run", str(run), "--data", str(small_corpus), "--threads", "1"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--teacher", str(model)])
    assert ended.value.code == 0
    assert load_checkpoint(run).teacher == fingerprint(load_encoder(model))


def test_a_run_goes_on_with_the_teacher_it_began_with(
    small_corpus: Path, teacher: Encoder, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(CONFIG, run, small_corpus, teacher=teacher)
    assert load_checkpoint(run).teacher == fingerprint(teacher)
    with pytest.raises(ConfigError, match="another teacher"):
        train(CONFIG, run, small_corpus, teacher=Encoder(MODEL), resume=True)
    with pytest.raises(ConfigError, match="name one with --teacher"):
        train(CONFIG, run, small_corpus, resume=True)


@pytest.mark.parametrize(
    ("changes", "with_teacher", "message"),
    [
        ({}, False, "there is no teacher: name one with --teacher"),
        ({"distillation": 0.0}, True, "distillation is 0, so nothing would be learnt"),
        (
            {"model": dataclasses.replace(MODEL, look_ahead_frames=1)},
            True,
            "look_ahead_frames is 3, the student's 1",
        ),
        (
            {"model": dataclasses.replace(MODEL, rows_per_frame=2)},
            True,
            "rows_per_frame is 1, the student's 2",
        ),
    ],
    ids=["no teacher", "no share", "look-ahead", "rows"],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    changes: dict[str, object],
    with_teacher: bool,
    message: str,
    small_corpus: Path,
    teacher: Encoder,
    tmp_path: Path,
) -> None:
    config = dataclasses.replace(CONFIG, **changes)
    with pytest.raises(ConfigError, match=message):
        train(config, tmp_path / "run", small_corpus, teacher=teacher if with_teacher else None)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("share", [-0.1, 1.5, math.nan])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(ConfigError, match="distillation"):
        dataclasses.replace(CONFIG, distillation=share)


def test_the_share_of_the_transcript_alone_is_ctc(small_corpus: Path) -> None:
    batch = batch_of(small_corpus, CONFIG)
    plain = dataclasses.replace(CONFIG, distillation=0.0, layer_drop=0.0)
    student = Encoder(MODEL)
    loss = training_step(student, batch, plain, CPU).loss
    with torch.no_grad():
        log_probs = student.offline(batch.audio, feature_mask=batch.mask).transpose(0, 1)
    ctc = functional.ctc_loss(log_probs, batch.targets, batch.rows, batch.phones, blank=0, reduction="sum")
    assert loss == pytest.approx((ctc / batch.phones.sum()).item(), rel=1e-6)
    assert "distillation" in to_dict(plain)
