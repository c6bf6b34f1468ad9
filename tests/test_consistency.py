"""Two views of a recording differ in their masks alone; the divergence between them is a part of the loss."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from small_training import CONFIG, MODEL, batch_of, check_resumes

from phonestream.asr.model.encoder import Encoder
from phonestream.asr.training.config import AugmentConfig
from phonestream.asr.training.distillation import teacher_log_probs
from phonestream.asr.training.losses import consistency_loss, distillation_loss, loss_weights
from phonestream.asr.training.train import training_step
from phonestream.errors import ConfigError

MASKED = AugmentConfig(speeds=(0.9, 1.1), frequency_masks=3, time_masks_per_second=4.0)
CONFIG = dataclasses.replace(CONFIG, consistency=0.2, layer_drop=0.0, augment=MASKED)
CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_first_view_is_what_one_view_would_be_and_the_second_has_masks_of_its_own(
    small_corpus: Path,
) -> None:
    one, two = (
        batch_of(small_corpus, dataclasses.replace(CONFIG, consistency=0.0)),
        batch_of(small_corpus, CONFIG),
    )
    assert torch.equal(one.audio, two.audio)
    assert len(two.mask) == 2 * len(one.mask) == 2 * len(one.audio)
    first, second = two.mask.chunk(2)
    assert torch.equal(first, one.mask)
    for mask, other in zip(first, second, strict=True):
        assert mask.any()
        assert other.any()
        assert not torch.equal(mask, other)


def test_the_consistency_loss_is_the_mean_divergence_of_each_view_from_the_other() -> None:
    torch.manual_seed(0)
    scores = torch.randn(4, 7, 40, requires_grad=True)
    rows = torch.tensor([7, 3])
    got = consistency_loss(scores.log_softmax(-1), rows)
    one, other = scores.detach().log_softmax(-1).chunk(2)
    expected = sum(
        ((one[i, t].exp() - other[i, t].exp()) * (one[i, t] - other[i, t])).sum() / 2
        for i, count in enumerate(rows.tolist())
        for t in range(count)
    )
    assert got.item() == pytest.approx(float(expected), rel=1e-5)
    got.backward()
    assert scores.grad is not None
    towards = ((one.exp() - other.exp()) / 2)[0]  # neither learns as a teacher
    torch.testing.assert_close(scores.grad[0], towards, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(scores.grad[2], -towards, atol=1e-6, rtol=1e-5)
    assert scores.grad[1, 3:].abs().sum() == scores.grad[3, 3:].abs().sum() == 0


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_loss_is_the_mean_of_the_views_plus_their_weighted_consistency_loss(
    small_corpus: Path, share: float
) -> None:
    config = dataclasses.replace(CONFIG, distillation=share)
    batch, student = batch_of(small_corpus, config), Encoder(MODEL)
    teacher = Encoder(MODEL).eval() if share else None
    loss, _, named = training_step(student, batch, config, CPU, teacher)
    weights = loss_weights(config)
    assert named.keys() == weights.keys()
    assert loss == pytest.approx(sum(weights[name] * part for name, part in named.items()), rel=1e-6)
    parts, heard = [], []
    for mask in batch.mask.chunk(2):
        view = dataclasses.replace(batch, mask=mask)
        parts.append(
            training_step(student, view, dataclasses.replace(config, consistency=0.0), CPU, teacher)[0]
        )
        with torch.no_grad():
            heard.append(student.offline(batch.audio, feature_mask=mask))
    apart = (consistency_loss(torch.cat(heard), batch.rows) / batch.phones.sum()).item()
    assert apart > 0
    assert loss == pytest.approx(sum(parts) / 2 + 0.2 * apart, rel=1e-5)
    if teacher is not None:  # it hears one recording once, whatever is hidden from the student
        assert len(teacher_log_probs(teacher, batch)) == len(batch.audio)
        assert distillation_loss(heard[0], teacher_log_probs(teacher, batch), batch.rows) > 0


def test_stopped_and_resumed_it_learns_the_same(small_corpus: Path, tmp_path: Path) -> None:
    check_resumes(CONFIG, small_corpus, tmp_path)


@pytest.mark.parametrize("weight", [-0.1, math.inf, math.nan])
def test_a_weight_is_a_weight(weight: float) -> None:
    with pytest.raises(ConfigError, match="it must be at least 0 and finite"):
        dataclasses.replace(CONFIG, consistency=weight)
