"""What training mixes into recordings, or hears in their place."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from phonestream.asr.training.augment import MUSIC_PIECES, Noises, augment, noises_of, speechless
from phonestream.asr.training.config import AugmentConfig
from phonestream.asr.training.music import music

ONLY_MUSIC = AugmentConfig(speechless_probability=1.0, noise_probability=1.0, music_share=1.0)


@pytest.mark.parametrize("seed", range(12))
def test_a_piece_of_music_is_heard_and_not_clipped(seed: int) -> None:
    piece = music(3.0, np.random.default_rng(seed))
    assert piece.shape == (48000,)
    assert piece.dtype == np.float32
    assert 0.4 < np.abs(piece).max() <= 0.5
    assert np.sqrt(np.mean(np.square(piece))) > 0.01
    assert np.array_equal(piece, music(3.0, np.random.default_rng(seed)))
    assert not np.array_equal(piece, music(3.0, np.random.default_rng(seed + 1)))


def test_music_has_pitches_as_a_scale_has() -> None:
    """Peaks of its spectrum lie on semitones of one tuning; those of noise lie anywhere."""

    def off_tune(samples: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
        hertz = np.fft.rfftfreq(len(samples), 1 / 16000)
        heard = (hertz > 100) & (hertz < 2000)
        angle = 2 * np.pi * 12 * np.log2(hertz[heard] / 440)
        return 1 - abs(np.sum(power[heard] * np.exp(1j * angle))) / np.sum(power[heard])

    pieces = [off_tune(music(5.0, np.random.default_rng(seed))) for seed in range(12)]
    noise = [off_tune(np.random.default_rng(seed).normal(size=80000)) for seed in range(12)]
    assert np.median(pieces) < 0.6 < 0.8 < np.median(noise)


def test_music_alone_needs_no_folder_of_noises(tmp_path: Path) -> None:
    noises = noises_of(ONLY_MUSIC, tmp_path)
    assert noises.recorded == []
    assert len(noises.music) == MUSIC_PIECES
    rng = np.random.default_rng(1)
    alone = speechless(40000, ONLY_MUSIC, noises, rng)
    assert alone is not None
    assert np.abs(alone).max() > 1e-5
    silence = np.zeros(16000, np.float32)
    silence[0] = 1.0
    assert np.count_nonzero(augment(silence, ONLY_MUSIC, noises, rng)) > 8000


def test_nothing_is_made_that_is_not_mixed_in(tmp_path: Path) -> None:
    noises = noises_of(AugmentConfig(music_share=0.5), tmp_path / "missing")
    assert (noises.recorded, noises.music) == ([], [])


def test_music_comes_in_its_share_of_the_cuts() -> None:
    mixed = Noises([np.zeros(100, np.float32)], [np.ones(100, np.float32)], 0.25)
    rng = np.random.default_rng(2)
    cuts = [mixed.cut(250, rng) for _ in range(400)]
    assert all(len(set(cut)) == 1 for cut in cuts)  # never both in one
    assert 70 < sum(cut[0] == 1 for cut in cuts) < 130


def test_a_recipe_without_music_draws_as_it_did_before_there_was_any() -> None:
    recorded = [np.arange(1000, dtype=np.float32)]
    rng, again = np.random.default_rng(3), np.random.default_rng(3)
    cut = Noises(recorded, [], 0.0).cut(100, rng)
    again.integers(1)
    assert cut[0] == again.integers(901)
    assert replace(ONLY_MUSIC, music_share=0.0, noise_dir="noise").music_share == 0
