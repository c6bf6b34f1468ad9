"""Voices of other sizes: the filters of the front end are moved, and nothing else is."""

import dataclasses
from pathlib import Path

import pytest
import torch
from small_training import CONFIG, batch_of

from phonestream.asr.model.frontend import CARRY, LogMel, mel_filters
from phonestream.asr.training.config import AugmentConfig
from phonestream.errors import ConfigError

VARIED = AugmentConfig(speeds=(0.9, 1.1), vocal_tract=(0.9, 1.1))


def tone(hz: float) -> torch.Tensor:
    return 0.5 * torch.sin(2 * torch.pi * hz * torch.arange(CARRY + 1600) / 16000)[None]


@pytest.mark.parametrize("factor", [0.9, 1.1])
@pytest.mark.parametrize("hz", [500.0, 1500.0, 3500.0])
def test_a_tone_sounds_as_one_that_much_higher(hz: float, factor: float) -> None:
    frontend = LogMel(80)
    loudest = frontend.energies(tone(hz), frontend.warped(factor)[None])[0, 5].argmax().item()
    expected = frontend.energies(tone(hz * factor))[0, 5].argmax().item()
    assert abs(loudest - expected) <= 1
    assert loudest != frontend.energies(tone(hz))[0, 5].argmax().item()


@pytest.mark.parametrize("factor", [0.7, 0.88, 1.14, 1.4])
def test_the_band_stays_the_band(factor: float) -> None:
    filters = mel_filters(40, factor)
    assert (filters.sum(dim=1) > 0).all()
    assert (filters.argmax(dim=1).diff() >= 0).all()
    audible = filters.sum(dim=0) > 0
    assert audible[2:-2].all()  # nothing between the lowest filter and 8 kHz is left out


def test_a_factor_of_one_changes_nothing() -> None:
    assert torch.equal(mel_filters(40, 1.0), mel_filters(40))
    assert torch.equal(LogMel().warped(1.0), LogMel().filters)


def test_each_recording_in_each_view_has_a_voice_of_its_own(small_corpus: Path) -> None:
    config = dataclasses.replace(CONFIG, consistency=0.2, augment=VARIED)
    plain = dataclasses.replace(config, augment=dataclasses.replace(VARIED, vocal_tract=(1.0, 1.0)))
    batch, again, same = (batch_of(small_corpus, each) for each in (config, config, plain))
    assert same.filters is None
    assert batch.filters is not None
    assert len(batch.filters) == 2 * len(batch.audio) == len({row.numpy().tobytes() for row in batch.filters})
    assert torch.equal(batch.filters, again.filters)
    assert torch.equal(batch.audio, same.audio)
    assert torch.equal(batch.mask, same.mask)
    assert torch.equal(batch.targets, same.targets)


@pytest.mark.parametrize(("low", "high"), [(0.6, 1.0), (1.0, 1.5), (1.1, 0.9)])
def test_a_factor_beyond_reason_is_refused(low: float, high: float) -> None:
    with pytest.raises(ConfigError, match=r"augment\.vocal_tract is \["):
        AugmentConfig(vocal_tract=(low, high))
