"""Rooms, microphones and telephones: speech stays in its place and is changed in the way that is said."""

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from phonestream.asr.training.augment import Noises, augment
from phonestream.asr.training.channel import microphone, room, telephone
from phonestream.asr.training.config import AugmentConfig
from phonestream.errors import ConfigError

Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def speech() -> Samples:
    samples, _ = soundfile.read("tests/data/speech/test/1284-1180-0000.opus", dtype="float32")
    return np.asarray(samples, np.float32)


def level_db(samples: Samples, lowest_hz: float, highest_hz: float) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / 16000)
    return float(10 * np.log10(power[(hertz >= lowest_hz) & (hertz < highest_hz)].mean() + 1e-12))


def delay(samples: Samples, original: Samples) -> int:
    """By how many samples `samples` agrees best with `original`."""
    size = 2 * len(original)
    correlation = np.fft.irfft(np.fft.rfft(samples, size) * np.conj(np.fft.rfft(original, size)), size)
    best = int(correlation.argmax())
    return best if best < len(original) else best - size


def test_a_room_keeps_times_and_adds_the_echo_that_was_asked_for(speech: Samples) -> None:
    rng = np.random.default_rng(0)
    heard = room(speech, 0.4, 5.0, rng)
    assert len(heard) == len(speech)
    assert delay(heard, speech) == 0
    echo = heard - speech
    ratio = 10 * np.log10(np.mean(speech**2) / np.mean(echo**2))
    assert 2 < ratio < 8

    click = np.zeros(16000, np.float32)
    click[0] = 1
    tail = room(click, 0.4, 0.0, rng)[32:]
    early, late = (np.mean(tail[start : start + 800] ** 2) for start in (0, 3200))
    assert 25 < 10 * np.log10(early / late) < 35  # 0.2 s is half of 60 dB


def test_a_telephone_keeps_its_band_and_nothing_else(speech: Samples) -> None:
    heard = telephone(speech, 300, 3400)
    assert delay(heard, speech) == 0
    assert abs(level_db(heard, 400, 3300) - level_db(speech, 400, 3300)) < 1
    assert level_db(heard, 4100, 8000) < level_db(speech, 4100, 8000) - 20
    assert level_db(heard, 0, 150) < level_db(speech, 400, 3300) - 20
    clean = np.fft.irfft(
        np.where(abs(np.fft.rfftfreq(len(speech), 1 / 16000) - 1850) < 1550, np.fft.rfft(speech), 0)
    )
    noise = heard[: len(clean)] - clean
    assert (
        15 < 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) < 45
    )  # 8 bits of mu-law, and the edges of the band


def test_a_microphone_without_deviation_changes_nothing(speech: Samples) -> None:
    np.testing.assert_allclose(microphone(speech, 0.0, np.random.default_rng(0)), speech, atol=1e-6)
    coloured = microphone(speech, 6.0, np.random.default_rng(0))
    bands = [(100, 400), (800, 1500), (2000, 3000), (5000, 7000)]
    changes = [level_db(coloured, *band) - level_db(speech, *band) for band in bands]
    assert max(changes) - min(changes) > 3


def test_everything_at_once_is_a_function_of_the_seed_and_stays_in_range(speech: Samples) -> None:
    config = AugmentConfig(
        speeds=(0.9,),
        gain_db=(20.0, 20.0),
        noise_probability=1.0,
        noise_dir="noise",
        room_probability=1.0,
        microphone_probability=1.0,
        telephone_probability=1.0,
    )
    noises = Noises([np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)], [], 0.0)
    first, again = (augment(speech, config, noises, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32
    assert np.abs(first).max() == 1
    assert abs(len(first) - len(speech) / 0.9) < 2


@pytest.mark.parametrize("length", [1, 159, 4096])
def test_the_shortest_recordings_too(length: int) -> None:
    samples = np.full(length, 0.1, np.float32)
    rng = np.random.default_rng(0)
    for heard in (room(samples, 0.1, 0.0, rng), microphone(samples, 4.0, rng), telephone(samples, 50, 3900)):
        assert heard.shape == samples.shape
        assert np.isfinite(heard).all()


def test_settings_that_cannot_be_are_named() -> None:
    with pytest.raises(ConfigError, match=r"augment\.telephone_probability is 1\.5"):
        AugmentConfig(telephone_probability=1.5)
    with pytest.raises(ConfigError, match=r"augment\.room_decay_seconds is \[0\.0, 0\.5\]"):
        AugmentConfig(room_decay_seconds=(0.0, 0.5))
    with pytest.raises(ConfigError, match=r"augment\.room_direct_db"):
        AugmentConfig(room_direct_db=(5.0, 1.0))
