"""A recogniser as Python programs use it: files, asyncio, other processes, copies, chunks in many channels."""

import asyncio
import copy
import multiprocessing
import pickle
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from toy_model import FRAME, levels, toy_model

import phonestream
from phonestream import AsyncStream, AudioError, AudioWarning, BeamSearch, ModelError, Recognizer, StreamPool

RECORDING = Path(__file__).parent / "data/speech/dev/2830-3979-0000.opus"
SAMPLES = levels(1, 1, 0, 2, 3, 3, 0, 4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model(tmp_path_factory.mktemp("toy") / "toy.onnx")


@pytest.fixture(scope="module")
def toy(model: Path) -> Recognizer:
    return Recognizer(model)


# Files


def test_a_file_is_transcribed_as_its_samples_are(toy: Recognizer, tmp_path: Path) -> None:
    left = np.stack([SAMPLES, np.zeros_like(SAMPLES)], axis=1)
    soundfile.write(tmp_path / "two.wav", left, 22_050, subtype="FLOAT")
    assert toy.transcribe_file(tmp_path / "two.wav") == toy.transcribe(left, 22_050)
    assert phonestream.transcribe(tmp_path / "two.wav", toy, channel=1) == toy.transcribe(SAMPLES, 22_050)
    with pytest.raises(AudioError, match=r"two\.wav: channel=3: expected a number from 1 to 2"):
        toy.transcribe_file(tmp_path / "two.wav", channel=3)
    with pytest.raises(AudioError, match=r"gone\.wav"):
        toy.transcribe_file(str(tmp_path / "gone.wav"))
    soundfile.write(tmp_path / "cancel.wav", np.stack([SAMPLES, -SAMPLES], axis=1), 16_000)
    with pytest.warns(AudioWarning, match=r"cancel\.wav: its 2 channels cancel"):
        toy.transcribe_file(tmp_path / "cancel.wav")
    (tmp_path / "grown.wav").write_bytes((tmp_path / "two.wav").read_bytes() + bytes(range(64)))
    with pytest.warns(AudioWarning, match=r"grown\.wav: more bytes follow"):
        toy.transcribe_file(tmp_path / "grown.wav")


def test_the_bundled_model_transcribes_a_path_and_its_phones_tile_it() -> None:
    phones = phonestream.transcribe(RECORDING)
    seconds = soundfile.info(RECORDING).duration
    intervals = phonestream.tile(phones, seconds)
    assert [interval.symbol for interval in intervals if interval.symbol] == [
        phone.symbol for phone in phones
    ]
    edges = [interval.start for interval in intervals] + [seconds]
    assert edges[0] == 0
    assert edges[1:] == [interval.end for interval in intervals]


# Channels


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 64])
def test_chunks_in_channels_may_be_short_behind_a_longer_one(toy: Recognizer, channels: int) -> None:
    samples = np.repeat(levels(1)[:, None], channels, axis=1)
    stream = toy.stream()
    pool = StreamPool(toy)
    pooled = pool.open(sample_rate=16_000)
    begin = 0
    for size in (0, channels, 1, 0, 3, 2):
        chunk = samples[begin : begin + size]
        stream.accept(chunk)
        pooled.push(chunk)
        begin += size
    assert stream.seconds == pooled.seconds == begin / 16_000
    if channels > 2:
        assert stream.copy().accept(samples[:1]) == []
        for fresh in (toy.stream().accept, pool.open(sample_rate=16_000).push):
            with pytest.raises(AudioError, match="transpose"):
                fresh(samples[: channels - 1])


def test_a_tensor_that_needs_a_gradient_is_heard_as_its_array_is(toy: Recognizer) -> None:
    tensor = torch.tensor(SAMPLES, requires_grad=True)
    assert toy.transcribe(tensor) == toy.transcribe(2 * tensor / 2) == toy.transcribe(SAMPLES)


# asyncio


def test_an_asyncio_stream_gives_what_a_stream_gives_and_the_loop_goes_on(toy: Recognizer) -> None:
    async def chunks() -> AsyncIterator[np.ndarray]:
        for begin in range(0, len(SAMPLES), 1000):
            yield SAMPLES[begin : begin + 1000]

    async def listen() -> tuple[list, list, list]:
        plain, other = AsyncStream(toy.stream()), AsyncStream(toy.stream(endpoints=True))
        heard = [event async for event in plain.events(chunks())]
        first, second = await asyncio.gather(other.accept(SAMPLES[:3000]), other.accept(SAMPLES[3000:]))
        lost = await other.gap(640)
        assert other.stream.lost_seconds == 0.04
        return heard, first + second + lost, await other.finish()

    heard, events, last = asyncio.run(listen())
    assert heard == toy.transcribe(SAMPLES)
    stream = toy.stream(endpoints=True)
    assert events + last == stream.accept(SAMPLES) + stream.gap(640) + stream.finish()


def test_a_call_that_is_cancelled_has_not_been_made(toy: Recognizer) -> None:
    async def listen() -> list:
        stream = AsyncStream(toy.stream())
        heard = await stream.accept(SAMPLES[: 3 * FRAME])
        call = asyncio.ensure_future(stream.accept(SAMPLES[3 * FRAME :]))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        with pytest.raises(AudioError):
            await stream.accept([float("nan")])
        assert stream.stream.seconds == 3 * FRAME / 16_000
        return heard + await stream.accept(SAMPLES[3 * FRAME :]) + await stream.finish()

    assert asyncio.run(listen()) == toy.transcribe(SAMPLES)


# Copies and other processes


def test_a_recogniser_goes_to_another_process(
    toy: Recognizer, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)  # opened by a relative path, unpickled elsewhere
    here = Recognizer(model.name, decoder=BeamSearch(size=7, lm=None, delay_seconds=0.3))
    monkeypatch.chdir("/")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as workers:
        assert workers.submit(here.transcribe, SAMPLES).result() == here.transcribe(SAMPLES)
    again = pickle.loads(pickle.dumps(toy))
    assert again.sha256 == toy.sha256
    assert again.transcribe(SAMPLES) == toy.transcribe(SAMPLES)
    assert copy.deepcopy({"recognizer": toy})["recognizer"] is toy


def test_a_recogniser_whose_file_has_changed_is_not_opened_again(tmp_path: Path) -> None:
    path = toy_model(tmp_path / "toy.onnx")
    pickled = pickle.dumps(Recognizer(path))
    toy_model(path, name="another")
    with pytest.raises(ModelError, match=r"toy\.onnx: is not the one that was pickled"):
        pickle.loads(pickled)


def test_streams_are_copied_and_not_pickled(toy: Recognizer) -> None:
    stream = toy.stream()
    before = stream.accept(SAMPLES[:3000])
    twins = copy.copy(stream), copy.deepcopy(stream), stream
    for twin in twins:
        assert before + twin.accept(SAMPLES[3000:]) + twin.finish() == toy.transcribe(SAMPLES)
    with pytest.raises(TypeError, match=r"send stream\.save\(\)"):
        pickle.dumps(stream)
