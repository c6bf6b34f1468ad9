"""Streaming is exact whatever the chunks, keeps the clock, and refuses what would be misheard."""

import asyncio
import concurrent.futures.thread
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import pytest
import soundfile
import soxr
from exactness import assert_exact
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fixture import shipped_model
from toy_model import FRAME, levels, toy_metadata, toy_model

from phonestream import (
    AsyncStream,
    AudioError,
    AudioWarning,
    ConfigError,
    Lost,
    Phone,
    Recognizer,
    Stream,
    StreamPool,
)
from phonestream.streaming.audio import resample as resampler

RATES = [8000, 16000, 22050, 44100, 48000]
RECORDING = Path(__file__).parent / "data/speech/dev/2830-3979-0000.opus"


@pytest.fixture(scope="module")
def shipped() -> Recognizer:
    return Recognizer(shipped_model())


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    samples, rate = soundfile.read(RECORDING, dtype="float32")
    assert rate == 16000
    whole: np.ndarray = samples
    return whole


@pytest.fixture
def toy(tmp_path: Path) -> Recognizer:
    return Recognizer(toy_model(tmp_path / "toy.onnx"))


def hear(stream: Stream, chunks: Iterable[Any], rate: int = 16000) -> list[Phone]:
    """All phones of `chunks`, to the end."""
    phones = []
    for chunk in chunks:
        phones += stream.accept(chunk, rate)
    return phones + stream.finish()


def chunked(samples: np.ndarray, size: int) -> list[np.ndarray]:
    return np.split(samples, range(size, len(samples), size))


@cache
def raw_session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(shipped_model())


def offline(samples: np.ndarray) -> np.ndarray:
    """Log-probabilities of audio at 16 kHz by one call of ONNX Runtime, with none of the code under test."""
    session = raw_session()
    metadata = session.get_modelmeta().custom_metadata_map
    late = json.loads(metadata["look_ahead_frames"])
    frames = -(-len(samples) // FRAME)
    audio = np.zeros((1, (frames + late) * FRAME), np.float32)
    audio[0, : len(samples)] = samples
    state = {
        spec["name"]: np.zeros([1 if size == "batch" else size for size in spec["shape"]], np.float32)
        for spec in json.loads(metadata["states"])
    }
    (log_probs,) = session.run(["log_probs"], {"audio": audio} | state)
    rows: np.ndarray = log_probs[0, late * json.loads(metadata["rows_per_frame"]) :]
    return rows


# Exactness, with the model that is shipped


@pytest.mark.parametrize(("size", "seconds"), [(1, 1.5), (7, 3), (333, 6), (640, 6), (10**6, 6)])
def test_any_chunk_size_gives_the_offline_result(
    shipped: Recognizer, speech: np.ndarray, size: int, seconds: float
) -> None:
    audio = speech[: int(seconds * 16000) + 123]
    stream = shipped.stream(posteriors=True)
    phones = hear(stream, chunked(audio, size))
    assert_exact(stream.take_posteriors(), offline(audio), phones, shipped.transcribe(audio))


@given(data=st.data())
@settings(deadline=None, max_examples=12)
def test_random_chunks_give_the_offline_result(shipped: Recognizer, speech: np.ndarray, data: Any) -> None:
    begin = data.draw(st.integers(0, 60000), "first sample")
    audio = speech[begin : begin + data.draw(st.integers(0, 32000), "samples")]
    cuts = data.draw(st.lists(st.integers(0, len(audio)), max_size=20), "cuts")
    stream = shipped.stream(posteriors=True)
    phones = hear(stream, np.split(audio, sorted(cuts)))
    assert_exact(stream.take_posteriors(), offline(audio), phones, shipped.transcribe(audio))


@pytest.mark.parametrize("rate", RATES)
def test_any_rate_gives_the_offline_result(shipped: Recognizer, speech: np.ndarray, rate: int) -> None:
    audio = soxr.resample(speech[:48000], 16000, rate).astype(np.float32)
    at_16k, state = resampler.resample(resampler.start(rate, 16000), audio)
    at_16k = np.concatenate([at_16k, resampler.flush(state)])
    for size in (97, 1000, len(audio)):
        stream = shipped.stream(posteriors=True)
        phones = hear(stream, chunked(audio, size), rate)
        assert stream.seconds == len(audio) / rate
        assert_exact(stream.take_posteriors(), offline(at_16k), phones, shipped.transcribe(audio, rate))


def test_log_probs_are_the_streaming_rows(shipped: Recognizer, speech: np.ndarray) -> None:
    assert_exact(shipped.log_probs(speech), offline(speech))
    np.testing.assert_allclose(np.exp(shipped.log_probs(speech)).sum(axis=1), 1, atol=1e-5)


def test_threads_may_share_a_recognizer(shipped: Recognizer, speech: np.ndarray) -> None:
    parts = [speech[begin : begin + 16000] for begin in range(0, 64000, 8000)]
    alone = [hear(shipped.stream(), chunked(part, 1600)) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda part: hear(shipped.stream(), chunked(part, 1600)), parts))
    assert together == alone


def test_streams_do_not_hear_each_other(shipped: Recognizer, speech: np.ndarray) -> None:
    left, right = chunked(speech[:32000], 1600), chunked(speech[32000:64000], 1600)
    a, b = shipped.stream(), shipped.stream()
    heard_a, heard_b = [], []
    for one, other in zip(left, right, strict=True):
        heard_a += a.accept(one)
        heard_b += b.accept(other)
    assert heard_a + a.finish() == hear(shipped.stream(), left)
    assert heard_b + b.finish() == hear(shipped.stream(), right)


def test_a_copy_has_the_same_past_and_its_own_future(shipped: Recognizer, speech: np.ndarray) -> None:
    stream = shipped.stream()
    past = stream.accept(speech[:20100])
    fork = stream.copy()
    silence = hear(fork, [np.zeros(20000)])
    assert past + hear(stream, [speech[20100:]]) == hear(shipped.stream(), [speech[:20100], speech[20100:]])
    assert past + silence == hear(shipped.stream(), [speech[:20100], np.zeros(20000)])
    assert fork.seconds == pytest.approx(40100 / 16000)


# Times and frames, with a model whose phones are known in advance


def spoken(phones: Iterable[Phone]) -> list[tuple[str, float]]:
    """Phones and when they were heard."""
    return [(phone.symbol, round(cast(float, phone.peak), 6)) for phone in phones]


@pytest.mark.parametrize("rows_per_frame", [1, 2])
@pytest.mark.parametrize("look_ahead", [0, 1, 3])
@pytest.mark.parametrize("blank", [0, 3])
def test_phones_stand_where_they_were_spoken(
    look_ahead: int, rows_per_frame: int, blank: int, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {
        "look_ahead_frames": look_ahead,
        "rows_per_frame": rows_per_frame,
        "blank": blank,
    }
    recognizer = Recognizer(toy_model(tmp_path / "toy.onnx", **changes))
    columns = [blank, blank, 1, 1, blank, 2, 5, 5, 5]
    expected = [
        (recognizer.metadata.decoder.symbols[column], peak)
        for column, peak in [(1, 0.12), (2, 0.22), (5, 0.3)]
    ]
    for size in (100, 640, 10**5):
        assert spoken(hear(recognizer.stream(), chunked(levels(*columns), size))) == expected


@pytest.mark.parametrize("rate", RATES)
def test_phones_stand_where_they_were_spoken_at_any_rate(toy: Recognizer, rate: int) -> None:
    frame = rate // 25
    audio = levels(0, 3, 3, 0, 0, 0, 4, 4, samples=frame)
    assert spoken(toy.transcribe(audio, rate)) == [("C", 0.08), ("D", 0.28)]


@pytest.mark.parametrize("samples", [0, 1, 639, 640, 641, 1280, 5000, 64001])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_n_samples_are_exactly_so_many_frames(toy: Recognizer, samples: int, rate: int) -> None:
    rows = toy.log_probs(np.zeros(samples), rate)
    at_16k = -(-samples * 16000 // rate)
    assert rows.shape == (-(-at_16k // FRAME), 6)


def test_no_phone_ends_after_the_audio(toy: Recognizer) -> None:
    audio = levels(1, 2, 2)[: 2 * FRAME + 500]
    phones = toy.transcribe(audio)
    assert spoken(phones) == [("A", 0.02), ("B", 0.08)]
    assert phones[-1].end == (2 * FRAME + 500) / 16000


def test_no_phone_ends_after_the_audio_when_the_offset_moves_it_on(tmp_path: Path) -> None:
    metadata = toy_metadata(time_offset_seconds=-0.1).to_map()
    recognizer = Recognizer(toy_model(tmp_path / "toy.onnx", metadata))
    for size in (640, 10**5):
        phones = hear(recognizer.stream(), chunked(levels(1, 0, 2, 0), size))
        assert spoken(phones) == [("A", 0.12), ("B", 0.16)]
        assert phones[-1].end == 0.16


def test_a_phone_comes_as_soon_as_its_end_was_heard(tmp_path: Path) -> None:
    """The row behind the next phone tells it, or where none comes, the first before which one would be too near."""
    recognizer = Recognizer(toy_model(tmp_path / "toy.onnx", look_ahead_frames=2))
    for heard, told in (((1, 0, 2, 0, 0), ("A", 0.06)), ((1, *[0] * 8), ("A", 0.13))):
        stream = recognizer.stream()
        assert stream.accept(levels(*heard)) == []
        assert stream.accept(np.zeros(639)) == []  # the row needs two frames more
        assert stream.tentative()[0].symbol == "A"
        assert [(phone.symbol, round(phone.end, 6)) for phone in stream.accept([0.0])] == [told]


def test_long_audio_goes_through_the_graph_in_blocks(toy: Recognizer, monkeypatch: Any) -> None:
    """Memory, and the time for attention within a call, would otherwise grow with the length of a file."""
    model = toy._model
    lengths = []
    run = type(model).run

    def recorded(self: Any, audio: np.ndarray, state: Any) -> Any:
        lengths.append(audio.shape[1])
        return run(self, audio, state)

    monkeypatch.setattr(type(model), "run", recorded)
    for rate in (16000, 44100):
        lengths.clear()
        toy.transcribe(np.zeros(rate * 60, np.int16), rate)
        assert max(lengths) == model.block_samples == 64000
        assert len(lengths) <= 17  # so that whole blocks are used


def test_posteriors_come_once_and_only_where_kept(toy: Recognizer) -> None:
    stream = toy.stream(posteriors=True)
    assert stream.take_posteriors().shape == (0, 6)
    stream.accept(levels(1, 2, 3, 4))
    assert stream.take_posteriors().argmax(axis=1).tolist() == [1, 2]
    assert stream.take_posteriors().shape == (0, 6)
    stream.finish()
    assert stream.take_posteriors().argmax(axis=1).tolist() == [3, 4]
    with pytest.raises(ConfigError, match="posteriors=True"):
        toy.stream().take_posteriors()


# Lost audio


def test_a_gap_keeps_the_clock_right_and_is_listed(toy: Recognizer) -> None:
    stream = toy.stream()
    phones = stream.accept(levels(1, 1))
    phones += stream.gap(3 * FRAME)
    phones += stream.accept(levels(2, 2))
    phones += stream.finish()
    assert spoken(phones) == [("A", 0.04), ("B", 0.24)]
    assert stream.lost == [Lost(0.08, 0.12)]
    assert stream.lost_seconds == pytest.approx(0.12)
    assert stream.seconds == pytest.approx(0.28)


def test_adjoining_gaps_are_one(toy: Recognizer) -> None:
    stream = toy.stream()
    stream.gap(441, 44100)
    stream.gap(441)
    stream.gap(0)
    stream.accept(np.zeros(441), 44100)
    stream.gap(882)
    assert stream.lost == [Lost(0.0, 882 / 44100), Lost(1323 / 44100, 882 / 44100)]
    assert stream.seconds == pytest.approx(0.05)


@pytest.mark.parametrize("samples", [-1, 1.5, None, 24 * 3600 * 16000 + 1, "3"])
def test_gaps_that_cannot_be_are_refused(toy: Recognizer, samples: Any) -> None:
    with pytest.raises(AudioError, match="gap of"):
        toy.stream().gap(samples)


# What samples may be


def test_samples_may_come_in_any_form(toy: Recognizer) -> None:
    audio = levels(1, 1, 0, 4, 4)
    expected = spoken(toy.transcribe(audio))
    stereo = np.stack([audio * 1.5, audio * 0.5], axis=1)
    forms = [
        audio.astype(np.float64),
        audio.astype(np.float16),
        audio.astype(">f4"),
        (audio * 32768).astype(np.int16),
        (audio * 32768).astype(">i2"),
        audio.tolist(),
        audio[:, None],
        stereo,
        np.asfortranarray(stereo),
        (stereo * 32768).astype(np.int16),
        np.repeat(audio, 2)[::2],
    ]
    for form in forms:
        assert spoken(toy.transcribe(form)) == expected


def test_int16_is_exactly_float_over_32768(shipped: Recognizer, speech: np.ndarray) -> None:
    whole = (speech[:16000] * 32768).astype(np.int16)
    np.testing.assert_array_equal(shipped.log_probs(whole), shipped.log_probs(whole / np.float32(32768)))


def test_a_buffer_may_be_reused_after_the_call(toy: Recognizer) -> None:
    """As the callbacks of audio libraries do."""
    for rate in (16000, 8000):
        buffer = np.empty(100, np.float32)
        stream, phones = toy.stream(), []
        for chunk in chunked(levels(1, 1, 0, 2, 2, 2, 0, 0), 100):
            buffer[: len(chunk)] = chunk
            phones += stream.accept(buffer[: len(chunk)], rate)
            buffer[:] = 9.0
        assert phones + stream.finish() == toy.transcribe(levels(1, 1, 0, 2, 2, 2, 0, 0), rate)


def test_nothing_at_all_is_fine(toy: Recognizer) -> None:
    assert toy.stream().finish() == []
    stream = toy.stream()
    assert stream.accept([]) == stream.accept(np.zeros((0, 2)), 44100) == []
    assert stream.accept([0.0], 8000) == []  # no sample had fixed the rate
    assert stream.seconds == 1 / 8000


@pytest.mark.parametrize("rate", [np.int32(8000), 8000.0, np.float64(8000)])
def test_rates_may_be_any_kind_of_whole_number(toy: Recognizer, rate: Any) -> None:
    assert spoken(toy.transcribe(levels(1, 1, samples=320), rate)) == [("A", 0.04)]


NONSENSE = {
    "nan": ([0.1, float("nan")], {}, r"sample 1 of 2 is nan"),
    "infinite": (np.array([[0.1, np.inf]]), {}, r"sample 0 of 1 is inf"),
    "16-bit values as floats": (np.array([0.0, 20000.0]), {}, "divide 16-bit values by 32768"),
    "int32": (np.zeros(9, np.int32), {}, "samples of type int32"),
    "uint8": (np.zeros(9, np.uint8), {}, "samples of type uint8"),
    "complex": (np.zeros(9, np.complex64), {}, "samples of type complex64"),
    "a path": (Path("audio.wav"), {}, "transcribe_file"),
    "None": (None, {}, "samples of type object"),
    "a ragged list": ([[0.0, 1.0], [0.0]], {}, "samples are no array"),
    "a scalar": (0.5, {}, "shape"),
    "three axes": (np.zeros((2, 2, 2)), {}, "shape"),
    "no channels": (np.zeros((5, 0)), {}, "shape"),
    "channels first": (np.zeros((2, 16000)), {}, "transpose"),
    "channels first, short": (np.zeros((2, 32)), {}, "transpose"),
    "one channel first": (np.zeros((1, 64)), {}, "transpose"),
    "three samples, channels first": (np.zeros((2, 3)), {}, "transpose"),
    "another rate": ([0.0], {"sample_rate": 44100}, "rate is fixed for a stream"),
    "rate 0": ([0.0], {"sample_rate": 0}, "sample rate 0"),
    "negative rate": ([0.0], {"sample_rate": -16000}, "sample rate -16000"),
    "absurd rate": ([0.0], {"sample_rate": 10**9}, "sample rate 1000000000"),
    "fractional rate": ([0.0], {"sample_rate": 16000.5}, "sample rate 16000.5"),
    "nan rate": ([0.0], {"sample_rate": float("nan")}, "sample rate nan"),
    "rate as text": ([0.0], {"sample_rate": "16000"}, "sample rate '16000'"),
}


@pytest.mark.parametrize(("samples", "arguments", "message"), NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_refused_and_nothing_is_lost(
    toy: Recognizer, samples: Any, arguments: dict[str, Any], message: str
) -> None:
    stream = toy.stream()
    stream.accept(levels(1, 1, 2)[:1500])
    before = stream.save()
    with pytest.raises(AudioError, match=message) as caught:
        stream.accept(samples, **arguments)
    assert "\n" not in str(caught.value)
    assert stream.save() == before
    stream.accept(levels(1, 1, 2)[1500:])
    assert spoken(stream.finish()) == [("A", 0.04), ("B", 0.1)]


def test_a_finished_stream_hears_no_more(toy: Recognizer) -> None:
    stream = toy.stream()
    stream.accept(levels(1))
    stream.finish()
    assert stream.finished
    assert stream.finish() == []
    with pytest.raises(AudioError, match="the stream is finished"):
        stream.accept([0.0])
    with pytest.raises(AudioError, match="the stream is finished"):
        stream.gap(1)
    assert stream.seconds == 0.04


async def _in_asyncio(recognizer: Recognizer, chunks: Sequence[np.ndarray]) -> None:
    async for _ in AsyncStream(recognizer.stream()).events(chunks, 16_000):
        pass


def _in_chunks(recognizer: Recognizer, chunks: Sequence[np.ndarray]) -> None:
    stream = recognizer.stream()
    for chunk in chunks:
        recognizer.accept_many([(stream, chunk)])
    stream.finish()
    stream.finish()


def _in_a_pool(recognizer: Recognizer, chunks: Sequence[np.ndarray]) -> None:
    stream = StreamPool(recognizer).open()
    for chunk in chunks:
        stream.push(chunk)
    stream.finish()


@pytest.mark.parametrize(
    "hear",
    [
        lambda recognizer, chunks: recognizer.transcribe(np.concatenate(chunks)),
        lambda recognizer, chunks: asyncio.run(_in_asyncio(recognizer, chunks)),
        _in_chunks,
        _in_a_pool,
    ],
    ids=["whole", "asyncio", "chunks", "pool"],
)
@pytest.mark.parametrize("seconds", [1, 12])
def test_channels_that_cancel_are_warned_of_once(
    toy: Recognizer, hear: Callable[[Recognizer, Sequence[np.ndarray]], object], seconds: int
) -> None:
    samples = np.random.default_rng(1).integers(-3000, 3000, 16_000 * seconds).astype(np.int16)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        hear(toy, np.array_split(np.stack([samples, samples], axis=1), 2 * seconds))
        assert not told
        hear(toy, np.array_split(np.stack([samples, -samples], axis=1), 2 * seconds))
    (warning,) = told
    assert issubclass(warning.category, AudioWarning)
    assert "2 channels cancel" in str(warning.message)
    assert warning.filename in (__file__, concurrent.futures.thread.__file__)


def test_a_state_is_replaced_field_by_field(toy: Recognizer) -> None:
    state = toy.stream()._state
    for field in fields(state):
        before, change = vars(state).copy(), {field.name: object()}
        after, expected = vars(state.replace(**change)), vars(replace(state, **change))
        assert {name: id(value) for name, value in after.items()} == {
            name: id(value) for name, value in expected.items()
        }
        assert all(value is before[name] for name, value in vars(state).items())
    with pytest.raises(TypeError, match="'frame'"):
        state.replace(frame=1)
