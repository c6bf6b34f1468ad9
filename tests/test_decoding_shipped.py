"""The shipped decoder over the shipped recordings: however a stream is cut, saved, moved, forked or batched, its phones
are those of the whole recording at once."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fixture import shipped_model
from numpy.typing import NDArray

from phonestream import Phone, Recognizer, Stream

RATE = 16000
LONGEST_CHUNK = 3 * RATE


@cache
def recognizer() -> Recognizer:
    return Recognizer(shipped_model())


def go_on(snapshot: bytes, chunk: NDArray[np.float32]) -> tuple[list[Phone], bytes]:
    """One chunk more of a stream; run in another process."""
    stream = recognizer().restore(snapshot)
    return stream.accept(chunk, RATE), stream.save()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Executor]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="module")
def audio(recordings: list[Path]) -> list[NDArray[np.float32]]:
    return [soundfile.read(path, dtype="float32")[0] for path in recordings]


@pytest.fixture(scope="module")
def at_once(audio: list[NDArray[np.float32]]) -> list[list[Phone]]:
    return [recognizer().transcribe(samples, RATE) for samples in audio]


def chunks(samples: NDArray[np.float32], rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """`samples` in chunks of all sizes, short and long ones equally likely."""
    sizes = np.exp(rng.uniform(0, np.log(LONGEST_CHUNK), 4000)).astype(int)
    bounds = np.cumsum(sizes)
    return np.split(samples, bounds[bounds < len(samples)])


def assert_equal(found: Sequence[Phone], expected: Sequence[Phone]) -> None:
    assert [phone[:3] for phone in found] == [phone[:3] for phone in expected]
    assert [phone.word_start for phone in found] == [phone.word_start for phone in expected]
    np.testing.assert_allclose(
        [phone.confidence for phone in found], [phone.confidence for phone in expected], atol=1e-3
    )


def check_tentative(stream: Stream[Phone], final: Sequence[Phone]) -> None:
    """Tentative phones go on from what is final: none of them lies before it."""
    tentative = stream.tentative()
    if final and tentative:
        assert tentative[0].start >= final[-1].start
    starts = [phone.start for phone in tentative]
    assert starts == sorted(starts)


@settings(max_examples=1, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_chunks_saves_forks_and_other_processes_change_no_phone(
    audio: list[NDArray[np.float32]], at_once: list[list[Phone]], elsewhere: Executor, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    for samples, expected in zip(audio, at_once, strict=True):
        stream, phones = recognizer().stream(), list[Phone]()
        for chunk in chunks(samples, rng):
            way = rng.choice(["on", "saved", "moved", "forked"], p=[0.6, 0.2, 0.1, 0.1])
            if way == "moved":
                more, snapshot = elsewhere.submit(go_on, stream.save(), chunk).result()
                stream = recognizer().restore(snapshot)
            else:
                if way == "saved":
                    stream = recognizer().restore(stream.save())
                elif way == "forked":
                    stream, fork = stream.copy(), stream
                    fork.accept(rng.uniform(-0.1, 0.1, 4000).astype(np.float32), RATE)
                    fork.finish()
                more = stream.accept(chunk, RATE)
            phones += more
            check_tentative(stream, phones)
        assert_equal(phones + stream.finish(), expected)


@settings(max_examples=1, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_in_a_batch_phones_are_those_of_one_alone(
    audio: list[NDArray[np.float32]], at_once: list[list[Phone]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    streams = [recognizer().stream() for _ in audio]
    phones: list[list[Phone]] = [[] for _ in audio]
    waiting = [chunks(samples, rng) for samples in audio]
    while any(waiting):
        turn = [index for index, left in enumerate(waiting) if left and rng.random() < 0.8]
        outcomes = recognizer().accept_many([(streams[index], waiting[index].pop(0)) for index in turn], RATE)
        for index, (events, error) in zip(turn, outcomes, strict=True):
            assert error is None
            phones[index] += events
    for stream, found, expected in zip(streams, phones, at_once, strict=True):
        assert_equal(found + stream.finish(), expected)
