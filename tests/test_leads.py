"""Training recordings may follow a lead: what a stream heard before them, computed without gradient."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import CONFIG, MODEL, batch_of

from phonestream.asr.model.encoder import FRAME, Encoder
from phonestream.asr.training.augment import Noises
from phonestream.asr.training.batches import Batch
from phonestream.asr.training.config import AugmentConfig
from phonestream.asr.training.leads import LEADS, lead_state, leads
from phonestream.asr.training.train import training_step
from phonestream.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")

LED = dataclasses.replace(CONFIG.augment, lead_probability=0.7, lead_seconds=(0.5, 3.0))


@pytest.fixture
def batch(small_corpus: Path) -> Batch:
    return batch_of(small_corpus, dataclasses.replace(CONFIG, augment=LED))


def test_a_recording_begins_where_its_lead_ended(batch: Batch) -> None:
    assert batch.leads is not None
    encoder = Encoder(MODEL).eval()
    state = lead_state(encoder, batch.leads, batch.lead_index)
    rows, _ = encoder(batch.audio, state)
    for row, audio, chosen in zip(rows, batch.audio, batch.lead_index.tolist(), strict=True):
        lead = batch.leads[chosen] if chosen >= 0 else torch.zeros(0)
        whole, _ = encoder(torch.cat([lead, audio])[None])
        assert torch.allclose(whole[0, len(lead) // FRAME * MODEL.rows_per_frame :], row, atol=1e-4)


def test_leads_are_a_function_of_the_step(batch: Batch, small_corpus: Path) -> None:
    again = batch_of(small_corpus, dataclasses.replace(CONFIG, augment=LED))
    assert batch.leads is not None
    assert again.leads is not None
    assert torch.equal(batch.leads, again.leads)
    assert batch.leads.shape[0] == LEADS
    assert batch.leads.shape[1] % FRAME == 0
    assert batch.lead_index.max() < LEADS


def test_no_gradient_reaches_a_lead(batch: Batch) -> None:
    encoder = Encoder(MODEL)
    loss, norm, _ = training_step(
        encoder, batch, dataclasses.replace(CONFIG, augment=LED), torch.device("cpu")
    )
    assert np.isfinite([loss, norm]).all()
    assert batch.leads is not None
    assert not lead_state(encoder, batch.leads, batch.lead_index)["s0"].requires_grad


def test_every_kind_of_lead_is_within_full_scale() -> None:
    noises = Noises([np.ones(8000, np.float32)], [], 0.0)
    rng = np.random.default_rng(0)
    drawn = [leads(LED, noises, lambda _: np.full(16000, 0.5, np.float32), rng) for _ in range(60)]
    peaks = torch.cat([audio.abs().amax(dim=1) for audio in drawn if audio is not None])
    assert (peaks == 0).any()  # digital silence
    assert ((peaks > 0) & (peaks < 0.1)).any()  # room tone
    assert (peaks == 0.5).any()  # speech
    assert peaks.max() <= 1


def test_leads_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="lead_seconds"):
        AugmentConfig(lead_seconds=(0.0, 5.0))
    with pytest.raises(ConfigError, match="lead_probability"):
        AugmentConfig(lead_probability=1.5)
