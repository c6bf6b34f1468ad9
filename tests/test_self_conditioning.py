"""An intermediate CTC head learns its share of the loss, and what it hears is told to the blocks after it."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from small_training import CONFIG, MODEL, batch_of, check_resumes

from phonestream.asr.lexicon.phones import BLANK
from phonestream.asr.model.config import EncoderConfig
from phonestream.asr.model.encoder import Encoder
from phonestream.asr.training.config import TrainConfig
from phonestream.asr.training.train import training_step
from phonestream.errors import ConfigError

MODEL: EncoderConfig = dataclasses.replace(MODEL, self_condition_after=1)
CONFIG: TrainConfig = dataclasses.replace(CONFIG, intermediate=0.3, layer_drop=0.0, model=MODEL)
CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("consistency", [0.0, 0.2])
def test_the_loss_is_both_heads_each_with_its_share(small_corpus: Path, consistency: float) -> None:
    config = dataclasses.replace(CONFIG, consistency=consistency)
    batch, encoder = batch_of(small_corpus, config), Encoder(MODEL)
    rows, targets = batch.rows.repeat(config.views), batch.targets.repeat(config.views)
    loss = training_step(encoder, batch, config, CPU).loss
    last_alone = training_step(encoder, batch, dataclasses.replace(config, intermediate=0.0), CPU).loss
    early: list[torch.Tensor] = []
    with torch.no_grad():
        last = encoder.offline(
            batch.audio.repeat(config.views, 1), feature_mask=batch.mask, intermediate=early
        )
        ours, first = (
            torch.nn.functional.ctc_loss(
                heard.transpose(0, 1), targets, rows, batch.phones.repeat(config.views), BLANK, "sum"
            ).item()
            / (config.views * batch.phones.sum().item())
            for heard in (last, encoder.trim_look_ahead(early[0]))
        )
    assert first != pytest.approx(ours, rel=1e-3)
    assert loss == pytest.approx(last_alone + 0.3 * (first - ours), rel=1e-4)


def test_without_a_share_the_head_is_told_to_say_phones_by_nobody(small_corpus: Path) -> None:
    config = dataclasses.replace(CONFIG, intermediate=0.0)
    encoder = Encoder(MODEL)
    training_step(encoder, batch_of(small_corpus, config), config, CPU)
    assert encoder.conditioning is not None
    assert not encoder.conditioning.head.weight.grad.any()  # the way back is zero as it is made
    training_step(encoder, batch_of(small_corpus, CONFIG), CONFIG, CPU)
    assert encoder.conditioning.head.weight.grad.any()


def test_stopped_and_resumed_it_learns_the_same(small_corpus: Path, tmp_path: Path) -> None:
    check_resumes(CONFIG, small_corpus, tmp_path)


@pytest.mark.parametrize("share", [-0.1, 1.0, math.nan])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(ConfigError, match="it must be at least 0 and below 1"):
        dataclasses.replace(CONFIG, intermediate=share)


def test_a_share_needs_a_head() -> None:
    with pytest.raises(ConfigError, match=r"has no intermediate CTC head: set model\.self_condition_after"):
        dataclasses.replace(CONFIG, model=dataclasses.replace(MODEL, self_condition_after=0))
