"""A shipped model, streamed, is torch's offline forward pass of the same weights, at every sample rate."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from model_fixture import shipped_model
from silence_reference import State, ruled_log_probs

from phonestream import AudioError, Phone, Recognizer, bundled_models
from phonestream.asr.model.encoder import Encoder
from phonestream.asr.model.offline import encoder_log_probs, greedy_phones
from phonestream.export import read_encoder
from phonestream.streaming.audio import resample

TOLERANCE = 1e-4  # of a log-probability above LEAST
LEAST = -15.0
TIE = 2e-4  # between a row's best two, below which rounding may decide


@pytest.fixture(scope="module", params=["default", *sorted({*bundled_models()} - {"default"})])
def model(request: pytest.FixtureRequest) -> Path:
    return shipped_model(request.param)


@pytest.fixture(scope="module")
def recognizer(model: Path) -> Recognizer:
    return Recognizer(model, decoder="greedy")  # best path: its phones follow from the rows alone


@pytest.fixture(scope="module")
def encoder(model: Path) -> Encoder:
    """With the attention in the form that sums least: what is compared is streaming, not two ways to sum in float32."""
    encoder = read_encoder(model)
    encoder.backend = "quadratic"
    return encoder


def at_rate(path: Path, rate: int) -> np.ndarray:
    samples, original = soundfile.read(path, dtype="float32")
    return np.asarray(soxr.resample(samples, original, rate), np.float32)


def offline(encoder: Encoder, samples: np.ndarray, rate: int) -> np.ndarray:
    """Torch's log-probabilities of the whole signal at 16 kHz, by the resampler that streams use."""
    converted, state = resample.resample(resample.start(rate, 16000), samples)
    return encoder_log_probs(encoder, [np.concatenate([converted, resample.flush(state)])])[0]


def ruled(encoder: Encoder, recognizer: Recognizer, samples: np.ndarray) -> tuple[np.ndarray, int]:
    """Torch's log-probabilities of a recording at 16 kHz where the rule on silence holds, and how often it did."""

    @torch.inference_mode()
    def run(audio: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        tensors = {name: torch.from_numpy(tensor) for name, tensor in state.items()}
        log_probs, following = encoder(torch.from_numpy(audio), tensors)
        return log_probs.numpy(), {name: tensor.numpy() for name, tensor in following.items()}

    encoder.eval()
    zeros = {name: tensor.numpy() for name, tensor in encoder.initial_state(1).items()}
    return ruled_log_probs(run, zeros, recognizer.metadata, samples)


def streamed(
    recognizer: Recognizer, samples: np.ndarray, rate: int, chunk: int
) -> tuple[np.ndarray, list[Phone]]:
    stream = recognizer.stream(posteriors=True)
    phones = []
    for first in range(0, len(samples), chunk):
        phones += stream.accept(samples[first : first + chunk], rate)
        if first == chunk:  # in mid-word, through bytes and back
            stream = recognizer.restore(stream.save())
    phones += stream.finish()
    return stream.take_posteriors(), phones


def differences(rows: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The largest of each row's, [rows]."""
    likely = np.maximum(rows, expected) > LEAST
    return np.where(likely, np.abs(rows - expected), 0.0).max(axis=1)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_streaming_is_torchs_offline_forward(
    rate: int, recognizer: Recognizer, encoder: Encoder, recordings: list[Path]
) -> None:
    found: list[np.ndarray] = []
    ties = 0
    for path, chunk in zip(recordings, (1237, 640, 20011, 160, 7777, 4096), strict=True):
        samples = at_rate(path, rate)
        expected = offline(encoder, samples, rate)
        rows, phones = streamed(recognizer, samples, rate, chunk)
        assert rows.shape == expected.shape
        found.append(differences(rows, expected))
        best = np.sort(expected, axis=1)
        near = int((best[:, -1] - best[:, -2] < TIE).sum())
        ties += near
        if not near:
            assert [phone.symbol for phone in phones] == greedy_phones(expected)
    of_all = np.concatenate(found)
    assert of_all.max() <= TOLERANCE
    print(
        f"{recognizer.metadata.name}, {rate} Hz: largest difference {of_all.max():.1e}, "
        f"{ties} of {len(of_all)} rows whose best two lie within {TIE}"
    )


def test_quiet_loud_and_clipped_audio_too(
    recognizer: Recognizer, encoder: Encoder, recordings: list[Path]
) -> None:
    speech = at_rate(recordings[3], 16000)
    found = []
    for samples in (speech * 1e-3, np.clip(speech * 30, -1, 1), np.zeros(16000, np.float32), speech[:1]):
        samples = samples.astype(np.float32)
        expected = offline(encoder, samples, 16000)
        rows, _ = streamed(recognizer, samples, 16000, 4096)
        found.append(differences(rows, expected))
    assert np.concatenate(found).max() <= TOLERANCE


def test_tensors_are_samples(recognizer: Recognizer, recordings: list[Path]) -> None:
    samples = torch.from_numpy(at_rate(recordings[3], 16000)[:8000])
    expected = recognizer.log_probs(samples.numpy())
    learnt = samples.clone().requires_grad_()
    for tensor in (learnt, learnt[:, None], torch.stack([samples, samples], dim=1)):
        np.testing.assert_array_equal(recognizer.log_probs(tensor), expected)  # type: ignore[arg-type]
    for tensor in (samples.to("meta"), samples.to(torch.bfloat16)):
        with pytest.raises(AudioError, match="samples are no array"):
            recognizer.log_probs(tensor)  # type: ignore[arg-type]


def test_silence_leaves_no_trace_in_torch_either(
    recognizer: Recognizer, encoder: Encoder, recordings: list[Path]
) -> None:
    """Beyond a second or so of silence a stream is no plain forward pass, but one whose sums go back."""
    speech = at_rate(recordings[3], 16000)
    room = (1e-3 * np.random.default_rng(0).standard_normal(6 * 16000)).astype(np.float32)
    samples = np.concatenate([np.zeros(100_000, np.float32), speech[:50_000], room, speech[50_000:]])
    expected, silent = ruled(encoder, recognizer, samples)
    assert silent >= 10
    rows, _ = streamed(recognizer, samples, 16000, 7777)
    assert differences(rows, expected).max() <= TOLERANCE
    plain = offline(encoder, samples, 16000)
    assert differences(rows[:50], plain[:50]).max() <= TOLERANCE
    assert differences(rows, plain).max() > TOLERANCE
