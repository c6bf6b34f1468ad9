"""Whole recordings in batches: no neighbour, no zero and no block of a batch reaches a recording's rows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phonestream.asr.lexicon.phones import BLANK, PHONES, encode
from phonestream.asr.model.config import EncoderConfig
from phonestream.asr.model.encoder import FRAME, Encoder
from phonestream.asr.model.offline import encoder_log_probs, greedy_phones
from phonestream.errors import AudioError

SMALL = {"subsampling_width": 8, "width": 16, "layers": 2, "heads": 2, "head_width": 8, "feed_forward": 16}
KINDS = {
    "streaming": {},
    "no-look-ahead": {"look_ahead_frames": 0},
    "two-rows": {"rows_per_frame": 2},
    "softmax-causal": {"attention": "softmax-causal"},
    "full-context": {"attention": "linear"},
}


def small_encoder(**changes: object) -> Encoder:
    torch.manual_seed(3)
    return Encoder(EncoderConfig(**SMALL | changes))


def noise(*lengths: int) -> list[np.ndarray]:
    draw = np.random.default_rng(5)
    return [(draw.standard_normal(length) / 10).astype(np.float32) for length in lengths]


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_gets_the_same_rows_in_any_batch(kind: str):
    encoder = small_encoder(**KINDS[kind])
    recordings = noise(16000, 0, 1, 640, 641, 16000, 20000, 333)
    alone = [encoder_log_probs(encoder, [recording])[0] for recording in recordings]
    for batch_seconds in (0.2, 1.5, 120.0):
        together = encoder_log_probs(encoder, recordings, batch_seconds=batch_seconds)
        for rows, expected, recording in zip(together, alone, recordings, strict=True):
            assert rows.shape == (encoder.rows(len(recording)), len(PHONES) + 1)
            assert rows.dtype == np.float32
            np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_the_rows_are_those_of_the_offline_forward():
    encoder = small_encoder()
    (recording,) = noise(12345)
    frames = encoder.rows(12345) + encoder.config.look_ahead_frames
    padded = torch.zeros(1, frames * FRAME)
    padded[0, :12345] = torch.from_numpy(recording)
    with torch.no_grad():
        expected = encoder.offline(padded)[0].numpy()
    np.testing.assert_allclose(encoder_log_probs(encoder, [recording])[0], expected, atol=1e-5)


def test_the_encoder_comes_back_in_the_mode_it_was_in():
    encoder = small_encoder().train()
    encoder_log_probs(encoder, noise(640))
    assert encoder.training
    assert all(parameter.grad is None for parameter in encoder.parameters())
    encoder_log_probs(encoder.eval(), noise(640))
    assert not encoder.training


def test_samples_that_mean_nothing_are_refused():
    encoder = small_encoder()
    with pytest.raises(AudioError, match="recording 1: samples must be finite"):
        encoder_log_probs(encoder, [*noise(640), np.full(640, np.nan, np.float32)])
    with pytest.raises(AudioError, match=r"recording 0: expected samples of shape \[n\], got \[640, 2\]"):
        encoder_log_probs(encoder, [np.zeros((640, 2), np.float32)])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(PHONES), st.integers(1, 3), st.integers(0, 2)), max_size=20))
def test_runs_of_equal_rows_are_one_phone(said: list[tuple[str, int, int]]):
    columns: list[int] = []
    for phone, rows, blanks in said:
        if columns and columns[-1] == encode([phone])[0]:
            columns.append(BLANK)  # what CTC needs between equal phones
        columns += encode([phone]) * rows + [BLANK] * blanks
    log_probs = np.full((len(columns), len(PHONES) + 1), -9, np.float32)
    log_probs[np.arange(len(columns)), columns] = -0.1
    assert greedy_phones(log_probs) == [phone for phone, _, _ in said]


def test_ties_go_to_the_lowest_column():
    assert greedy_phones(np.zeros((3, len(PHONES) + 1), np.float32)) == []
