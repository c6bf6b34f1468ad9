"""The resampler is as good as a reference one, and its output does not depend on how the input was split."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from phonestream.streaming.audio import resample as resampler

TARGET = 16000
COMMON_RATES = [8000, 11025, 22050, 32000, 44100, 48000]
ODD_RATES = [44099, 16001, 12345, 1000, 95999]  # all but one have too many phases for a full bank


def convert(signal: np.ndarray, rate: int, target: int = TARGET) -> np.ndarray:
    output, state = resampler.resample(resampler.start(rate, target), signal)
    return np.concatenate([output, resampler.flush(state)])


def noise(rate: int, seconds: float, band: float, seed: int = 0) -> np.ndarray:
    """White noise up to `band` of the lower Nyquist frequency, repeating exactly after `seconds`."""
    samples = round(rate * seconds)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    spectrum[np.fft.rfftfreq(samples, 1 / rate) > band * min(rate, TARGET) / 2] = 0
    signal = np.fft.irfft(spectrum, samples)
    scaled: np.ndarray = (0.5 * signal / np.abs(signal).max()).astype(np.float32)
    return scaled


def fourier(signal: np.ndarray, rate: int, target: int = TARGET) -> np.ndarray:
    """Band-limited interpolation of one period of a periodic signal, exact up to rounding."""
    samples = len(signal) * target // rate
    spectrum = np.fft.rfft(signal.astype(np.float64))
    kept = min(len(spectrum), samples // 2 + 1)
    return np.fft.irfft(spectrum[:kept], samples) * (samples / len(signal))


@pytest.mark.parametrize("rate", COMMON_RATES + ODD_RATES)
def test_band_limited_audio_comes_out_exactly(rate: int) -> None:
    signal = noise(rate, 1, band=0.9)
    inner = slice(1000, -1000)
    np.testing.assert_allclose(convert(signal, rate)[inner], fourier(signal, rate)[inner], atol=3e-5)


@pytest.mark.parametrize("rate", COMMON_RATES)
@pytest.mark.parametrize("quality", ["HQ", "VHQ"])
def test_agrees_with_soxr(rate: int, quality: str) -> None:
    signal = noise(rate, 2, band=0.88)
    reference = soxr.resample(signal.astype(np.float64), rate, TARGET, quality)
    inner = slice(1000, -1000)
    np.testing.assert_allclose(convert(signal, rate)[inner], reference[inner], atol=2e-4)


@pytest.mark.parametrize("rate", [8000, 44100, 44099, 48000])
def test_response_is_flat_in_the_pass_band_and_down_in_the_stop_band(rate: int) -> None:
    design = resampler.design(rate, TARGET)
    impulse = design.bank[:-1].T[::-1].ravel().astype(np.float64) / design.phases  # h at rate * phases
    size = 2 ** int(np.ceil(np.log2(len(impulse))) + 3)
    response = 20 * np.log10(np.abs(np.fft.rfft(impulse, size)) + 1e-12)
    frequency = np.fft.rfftfreq(size, 1 / (rate * design.phases)) / (min(rate, TARGET) / 2)
    assert np.abs(response[frequency <= resampler.PASS_BAND]).max() < 0.001
    assert response[frequency >= 1].max() < -resampler.STOP_BAND_DB


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 44099, 96000])
def test_output_sample_m_is_at_time_m_over_the_target_rate(rate: int) -> None:
    """No delay, no drift: a sine on the input's clock is the same sine on the output's."""
    seconds = 3.3
    tone = np.sin(2 * np.pi * 997 * np.arange(int(seconds * rate)) / rate).astype(np.float32)
    output = convert(tone, rate)
    expected = np.sin(2 * np.pi * 997 * np.arange(len(output)) / TARGET)
    np.testing.assert_allclose(output[200:-200], expected[200:-200], atol=5e-5)


@given(
    rate=st.sampled_from([*COMMON_RATES, 44099, 16001, TARGET]),
    length=st.integers(0, 3000),
    cuts=st.lists(st.integers(0, 3000), max_size=12),
)
@settings(deadline=None, max_examples=60)
def test_splitting_the_input_changes_no_bit(rate: int, length: int, cuts: list[int]) -> None:
    signal = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    state, pieces = resampler.start(rate, TARGET), []
    for piece in np.split(signal, sorted(min(cut, length) for cut in cuts)):
        output, state = resampler.resample(state, piece)
        assert len(state.tail) == resampler.tail_length(rate, TARGET, state.received)
        pieces.append(output)
    pieces.append(resampler.flush(state))
    np.testing.assert_array_equal(np.concatenate(pieces), convert(signal, rate))


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 44099])
def test_long_and_short_pieces_change_no_bit(rate: int) -> None:
    """Long pieces are filtered phase by phase, short ones output by output."""
    signal = noise(rate, 1.5, band=1.0)
    state, pieces = resampler.start(rate, TARGET), []
    for piece in np.split(signal, range(0, len(signal), 97)):
        output, state = resampler.resample(state, piece)
        pieces.append(output)
    pieces.append(resampler.flush(state))
    np.testing.assert_array_equal(np.concatenate(pieces), convert(signal, rate))


@given(rate=st.sampled_from([*COMMON_RATES, 44099, 1000, 96000, TARGET]), length=st.integers(0, 5000))
@settings(deadline=None, max_examples=60)
def test_n_samples_give_exactly_their_share(rate: int, length: int) -> None:
    output = convert(np.zeros(length, np.float32), rate)
    assert len(output) == -(-length * TARGET // rate) == resampler.total(rate, TARGET, length)


def test_a_constant_stays_constant() -> None:
    """Neither the phases of the bank nor the interpolation between them leave a pattern."""
    for rate in (8000, 44100, 44099):
        output = convert(np.full(rate, 0.5, np.float32), rate)
        np.testing.assert_allclose(output[200:-200], 0.5, atol=2e-5)


def test_equal_rates_pass_through_untouched() -> None:
    signal = noise(TARGET, 0.1, band=1.0)
    output, state = resampler.resample(resampler.start(TARGET, TARGET), signal)
    assert output is signal
    assert len(resampler.flush(state)) == 0


def test_the_state_passed_in_is_not_changed() -> None:
    signal = noise(44100, 0.2, band=1.0)
    _, state = resampler.resample(resampler.start(44100, TARGET), signal)
    tail = state.tail.copy()
    first, _ = resampler.resample(state, signal)
    second, _ = resampler.resample(state, signal)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(state.tail, tail)


def test_filters_are_kept_with_their_streams() -> None:
    rates = range(8001, 8021, 2)  # more than are kept for those to come
    states = [
        resampler.resample(resampler.start(rate, TARGET), np.zeros(10, np.float32))[1] for rate in rates
    ]
    for rate, state in zip(rates, states, strict=True):
        assert resampler.design(rate, TARGET) is state.filter
