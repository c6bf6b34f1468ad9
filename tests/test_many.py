"""Streams that share calls of the model give what each would give alone, and fail alone."""

import itertools
from collections import Counter
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import soundfile
from exactness import assert_exact
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fixture import shipped_model
from snapshots import poisoned
from toy_model import FRAME, levels, sideways_model, toy_model

from phonestream import AudioError, ConfigError, ModelError, Recognizer, Stream
from phonestream.streaming.pool import plan as plans

RECORDING = Path(__file__).parent / "data/speech/dev/2830-3979-0000.opus"


@pytest.fixture(scope="module")
def shipped() -> Recognizer:
    return Recognizer(shipped_model())


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    samples: np.ndarray = soundfile.read(RECORDING, dtype="float32")[0]
    return samples


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return Recognizer(toy_model(tmp_path_factory.mktemp("models") / "toy.onnx"))


@given(data=st.data())
@settings(deadline=None, max_examples=6)
def test_streams_together_are_exact(shipped: Recognizer, speech: np.ndarray, data: Any) -> None:
    """Rows to 1e-4, and phones, of the shipped model, with uneven chunks and pauses."""
    count = data.draw(st.integers(2, 9), "streams")
    audio = [speech[begin * 4000 : begin * 4000 + 24000 + 123 * begin] for begin in range(count)]
    cuts = [sorted(data.draw(st.lists(st.integers(0, 25000), max_size=4), "cuts")) for _ in audio]
    parts = [
        np.split(samples, [cut for cut in at if cut < len(samples)])
        for samples, at in zip(audio, cuts, strict=True)
    ]
    streams = [shipped.stream(posteriors=True) for _ in audio]
    phones: list[list[Any]] = [[] for _ in audio]
    for turn in itertools.zip_longest(*parts):
        given_now = [index for index, part in enumerate(turn) if part is not None]
        outcomes = shipped.accept_many([(streams[index], turn[index]) for index in given_now])
        for index, (events, error) in zip(given_now, outcomes, strict=True):
            assert error is None
            phones[index] += events
    for samples, stream, heard in zip(audio, streams, phones, strict=True):
        heard += stream.finish()
        assert_exact(stream.take_posteriors(), shipped.log_probs(samples), heard, shipped.transcribe(samples))


def test_the_batch_may_be_any_axis_of_a_state(tmp_path: Path) -> None:
    recognizer = Recognizer(sideways_model(tmp_path / "sideways.onnx"))
    streams = [recognizer.stream() for _ in range(3)]
    for _ in range(2):
        recognizer.accept_many([(stream, levels(i, i + 1)) for i, stream in enumerate(streams, 1)])
    for i, stream in enumerate(streams, 1):
        alone = recognizer.stream()
        alone.accept(levels(i, i + 1, i, i + 1))
        assert stream.save() == alone.save()


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_any_chunks_together_are_what_they_are_alone(toy: Recognizer, data: Any) -> None:
    together = [
        toy.stream(endpoints=bool(index % 2)) for index in range(data.draw(st.integers(1, 6), "streams"))
    ]
    rates = [data.draw(st.sampled_from([16000, 8000]), "rate") for _ in together]
    alone = [stream.copy() for stream in together]
    chunk = st.lists(st.integers(0, 5), max_size=5).map(lambda heard: levels(*heard, samples=500))
    for _ in range(data.draw(st.integers(1, 4), "turns")):
        chunks = [data.draw(chunk | st.just(np.array([0.1, np.nan])), "chunk") for _ in together]
        outcomes = toy.accept_many(list(zip(together, chunks, strict=True)), rates)
        for (events, error), stream, part, rate in zip(outcomes, alone, chunks, rates, strict=True):
            if np.isnan(part).any():
                assert (events, type(error)) == ([], AudioError)
            else:
                assert (events, error) == (stream.accept(part, rate), None)
    for one, other in zip(together, alone, strict=True):
        assert one.save() == other.save()
        assert one.finish() == other.finish()


def test_each_fails_alone(toy: Recognizer) -> None:
    streams = [toy.stream() for _ in range(5)]
    streams[1].finish()
    streams[2].accept([0.0], 8000)
    before = [stream.save() for stream in streams]
    bad = poisoned(toy)
    outcomes = toy.accept_many(
        [
            (streams[0], levels(1, 2, *[0] * 11)),
            (streams[1], levels(1)),
            (streams[2], levels(1)),
            (streams[3], [float("nan")]),
            (bad, levels(1, 1)),
            (streams[4], levels(3, *[0] * 11)),
        ]
    )
    assert ["".join(phone[0] for phone in events) for events, _ in outcomes] == ["AB", "", "", "", "", "C"]
    assert [type(error) for _, error in outcomes] == [type(None), *[AudioError] * 3, ModelError, type(None)]
    for index in (1, 2, 3):
        assert streams[index].save() == before[index]
    with pytest.raises(ModelError):
        bad.accept(levels(1))


def test_a_stream_that_failed_in_one_call_is_in_no_other(toy: Recognizer) -> None:
    """So many different lengths that they go through in powers of two, some of which the failure comes before."""
    bad = poisoned(toy)
    inputs = [(toy.stream(), levels(*[1 + i % 5] * i, 0)) for i in range(1, 60)]
    assert len(plans.plan([len(samples) // FRAME for _, samples in inputs])) < 10
    outcomes = toy.accept_many([(bad, levels(*[1] * 61)), *inputs])
    assert ([], ModelError) == (outcomes[0].events, type(outcomes[0].error))
    for (stream, samples), (events, error) in zip(inputs, outcomes[1:], strict=True):
        assert error is None
        assert events + stream.finish() == toy.transcribe(samples)


def test_long_audio_goes_through_in_blocks(toy: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    run = type(toy._model).run_unchecked

    def recorded(self: Any, audio: np.ndarray, state: Any) -> Any:
        lengths.append(audio.shape)
        return run(self, audio, state)

    monkeypatch.setattr(type(toy._model), "run_unchecked", recorded)
    streams = [toy.stream() for _ in range(3)]
    outcomes = toy.accept_many([(stream, np.zeros(16000 * 30, np.int16)) for stream in streams])
    assert all(error is None for _, error in outcomes)
    assert max(samples for _, samples in lengths) == toy._model.block_samples
    assert len(lengths) == 8
    assert [stream.seconds for stream in streams] == [30.0] * 3


def test_nobody_and_nothing(toy: Recognizer) -> None:
    assert toy.accept_many([]) == []
    assert toy.accept_many([(toy.stream(), [])]) == [([], None)]


def test_what_cannot_be_told_apart_is_refused(toy: Recognizer, shipped: Recognizer) -> None:
    stream = toy.stream()
    with pytest.raises(ConfigError, match="twice"):
        toy.accept_many([(stream, levels(1)), (stream, levels(2))])
    with pytest.raises(ConfigError, match="another recognizer"):
        toy.accept_many([(stream, levels(1)), (shipped.stream(), levels(2))])
    with pytest.raises(ConfigError, match="2 sample rates for 1 inputs"):
        toy.accept_many([(stream, levels(1))], [16000, 16000])
    assert stream.seconds == 0


def test_a_stream_keeps_no_other_in_memory(toy: Recognizer) -> None:
    streams = [toy.stream() for _ in range(50)]
    toy.accept_many([(stream, levels(1, 2, 3)) for stream in streams])
    for tensor in streams[0]._state.model.values():
        assert tensor.base is None or tensor.base.nbytes == tensor.nbytes


def test_calls_with_the_same_streams_in_another_order_do_not_wait_for_each_other(toy: Recognizer) -> None:
    streams = [toy.stream() for _ in range(20)]

    def hear(order: list[Stream]) -> None:
        for _ in range(30):
            toy.accept_many([(stream, levels(1)) for stream in order])

    threads = [Thread(target=hear, args=(order,), daemon=True) for order in (streams, streams[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert {stream.seconds for stream in streams} == {60 * FRAME / 16000}


# Grouping


@given(counts=st.lists(st.integers(0, 100), max_size=40))
def test_a_plan_advances_each_stream_by_its_frames(counts: list[int]) -> None:
    advanced: Counter[int] = Counter()
    for frames, group in plans.plan(counts):
        assert frames > 0
        assert group
        assert len(set(group)) == len(group)
        advanced.update(dict.fromkeys(group, frames))
    assert [advanced[index] for index in range(len(counts))] == counts


def test_few_calls_are_made() -> None:
    assert plans.plan([4] * 200) == [(4, list(range(200)))]
    assert len(plans.plan(list(range(1, 101)))) <= 7


@given(streams=st.integers(0, 1000), frames=st.integers(1, 100))
def test_calls_are_of_equal_size(streams: int, frames: int) -> None:
    parts = plans.split(streams, frames)
    assert [index for part in parts for index in range(streams)[part]] == list(range(streams))
    sizes = {part.stop - part.start for part in parts}
    assert not sizes or (max(sizes) * frames <= plans.MAX_FRAMES and max(sizes) - min(sizes) <= 1)


def test_live_streams_share_one_call_and_long_audio_makes_it_small() -> None:
    assert len(plans.split(160, 3)) == 1
    assert len(plans.split(20, 100)) == 4
