"""Streams of a pool join, pause, finish and fail as they like, and each gives what it gives alone."""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model_fixture import shipped_model
from snapshots import poisoned, unpacked
from toy_model import FRAME, levels, sideways_model, toy_model

from phonestream import AudioError, ConfigError, Lost, ModelError, Phone, Recognizer, SnapshotError, Stream
from phonestream.streaming.endpoint import Endpoint, EndpointConfig, EndpointRule
from phonestream.streaming.pool.results import Posteriors, Snapshot
from phonestream.streaming.pool.scheduler import StreamPool
from phonestream.streaming.pool.slots import Slots
from phonestream.streaming.pool.stream import MANY_ENTRIES, PooledStream

RECORDINGS = sorted((Path(__file__).parent / "data/speech").glob("*/*.opus"))
RULES = EndpointConfig((EndpointRule("pause", 0.12, 0.04), EndpointRule("length", utterance=0.4)))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return Recognizer(toy_model(tmp_path_factory.mktemp("models") / "toy.onnx"))


def drain(pool: StreamPool) -> dict[PooledStream, list[Any]]:
    """The events of all ticks until nothing is ready."""
    heard: dict[PooledStream, list[Any]] = {}
    while pool.ready:
        for stream, events, error, _ in pool.tick():
            assert error is None
            heard.setdefault(stream, []).extend(events)
    return heard


class Schedule(RuleBasedStateMachine):
    """Any schedule of any streams; beside each, a plain stream that gets the same."""

    toy: Recognizer

    @initialize(chunk=st.sampled_from([0.04, 0.08, 0.16]), longest=st.sampled_from([None, 0.16, 0.6]))
    def begin(self, chunk: float, longest: float | None) -> None:
        self.pool = StreamPool(self.toy, chunk_seconds=chunk, max_chunk_seconds=longest, max_streams=4)
        self.pairs: list[tuple[PooledStream, Stream, list[Any], list[Any]]] = []

    def pick(self, data: Any, finished: bool = False) -> Any:
        open_ones = [
            pair for pair in self.pairs if not pair[0].closed and pair[0].finished in (False, finished)
        ]
        return data.draw(st.sampled_from(open_ones)) if open_ones else None

    @precondition(lambda self: not self.pool.full)
    @rule(rate=st.sampled_from([16000, 8000, 44100]), endpoints=st.sampled_from([False, RULES]))
    def join(self, rate: int, endpoints: Any) -> None:
        stream = self.pool.open(sample_rate=rate, endpoints=endpoints)
        self.pairs.append((stream, self.toy.stream(endpoints=endpoints), [], []))

    @rule(
        data=st.data(),
        heard=st.lists(st.integers(0, 5), max_size=6),
        samples=st.sampled_from([3, 100, 640, 1700]),
        kind=st.sampled_from(["<f4", "<i2", ">i2"]),
    )
    def push(self, data: Any, heard: list[int], samples: int, kind: str) -> None:
        if pair := self.pick(data):
            stream, alone, _, expected = pair
            audio = levels(*heard, samples=samples)
            if kind != "<f4":
                audio = (32767 * np.clip(audio, -1, 1)).astype(kind)
            expected += alone.accept(audio, stream.sample_rate)
            stream.push(audio)
            audio[:] = 9  # the buffer is the caller's again

    @rule(data=st.data(), samples=st.sampled_from([0, 1, 500, 3000]))
    def lose(self, data: Any, samples: int) -> None:
        if pair := self.pick(data):
            stream, alone, _, expected = pair
            stream.gap(samples)
            expected += alone.gap(samples, stream.sample_rate)

    @rule(data=st.data())
    def push_nonsense(self, data: Any) -> None:
        if pair := self.pick(data):
            with pytest.raises(AudioError):
                pair[0].push([0.1, float("nan")])

    @rule()
    def tick(self) -> None:
        self.take(self.pool.tick())

    @rule(data=st.data())
    def end(self, data: Any) -> None:
        if pair := self.pick(data):
            stream, alone, _, expected = pair
            stream.finish()
            expected += alone.finish()

    @rule(data=st.data())
    def save(self, data: Any) -> None:
        if pair := self.pick(data):
            stream, alone, _, _ = pair
            assert stream.save() == alone.save()

    @rule(data=st.data())
    def ask_for_a_snapshot(self, data: Any) -> None:
        """It comes after the events of all that was pushed before it, and before those of what comes after."""
        if pair := self.pick(data):
            stream, alone, _, expected = pair
            stream.request_snapshot()
            expected.append(Snapshot(round(alone.seconds * stream.sample_rate), alone.save()))

    @rule(data=st.data(), paused=st.booleans())
    def pause(self, data: Any, paused: bool) -> None:
        if pair := self.pick(data):
            pair[0].pause(paused)

    @rule(data=st.data())
    def move(self, data: Any) -> None:
        """To another slot, through a snapshot."""
        if pair := self.pick(data):
            stream, alone, found, expected = pair
            saved = stream.save()
            stream.pause(False)
            self.take(self.pool.tick())  # what save has found
            if stream.closed:
                return
            stream.close()
            self.pairs.remove(pair)
            moved = self.pool.open(sample_rate=stream.sample_rate, snapshot=saved)
            self.pairs.append((moved, alone, found, expected))

    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        if pair := self.pick(data, finished=True):
            pair[0].close()
            self.pairs.remove(pair)

    def take(self, heard: Iterable[Any]) -> None:
        found = {id(pair[0]): pair[2] for pair in self.pairs}
        for stream, events, error, finished in heard:
            assert error is None
            assert stream.closed == finished
            found[id(stream)] += events

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        for stream, alone, _, expected in self.pairs:
            stream.pause(False)
            if not stream.finished:
                stream.finish()
                expected += alone.finish()
        while self.pool.ready:
            self.take(self.pool.tick())
        for stream, alone, found, expected in self.pairs:
            assert stream.closed
            assert found == expected
            assert stream.seconds == alone.seconds
            assert stream.lost_seconds == pytest.approx(alone.lost_seconds)
        assert self.pool.stats().streams == 0


def test_any_schedule_gives_what_each_stream_gives_alone(toy: Recognizer) -> None:
    machine = type("Schedule", (Schedule,), {"toy": toy})
    run_state_machine_as_test(
        machine, settings=settings(deadline=None, max_examples=60, stateful_step_count=40)
    )


@pytest.mark.parametrize("chunk_seconds", [0.04, 0.16])
def test_the_shipped_models_phones_are_those_alone(chunk_seconds: float) -> None:
    """Real speech in uneven chunks: streams join late, pause for some ticks, and end at different times."""
    recognizer = Recognizer(shipped_model())
    random = np.random.default_rng(int(chunk_seconds * 100))
    pool = StreamPool(recognizer, chunk_seconds=chunk_seconds)
    speech = [soundfile.read(path, dtype="float32")[0] for path in RECORDINGS]
    audio = [
        speech[index % len(speech)][index * 7001 :][: random.integers(8000, 40000)] for index in range(11)
    ]
    streams: list[PooledStream | None] = [None] * len(audio)
    heard: dict[PooledStream, list[Phone]] = {}
    given = [0] * len(audio)
    while any(stream is None or not stream.closed for stream in streams):
        for index in np.flatnonzero(random.random(len(audio)) < 0.6).tolist():
            stream = streams[index] = streams[index] or pool.open()
            if given[index] < len(audio[index]):
                size = int(random.integers(1, 6000))
                stream.push(audio[index][given[index] : given[index] + size])
                given[index] += size
            elif not stream.finished:
                stream.finish()
        for stream, phones, error, _ in pool.tick():
            assert error is None
            heard.setdefault(stream, []).extend(phones)
    for stream, samples in zip(streams, audio, strict=True):
        assert stream is not None
        alone = recognizer.transcribe(samples)
        assert [phone[:3] for phone in heard[stream]] == [phone[:3] for phone in alone]
        np.testing.assert_allclose(
            [phone.confidence for phone in heard[stream]], [phone.confidence for phone in alone], atol=1e-4
        )


# What a tick does


def test_all_that_is_ready_goes_in_one_call(toy: Recognizer) -> None:
    pool = StreamPool(toy, chunk_seconds=0.08)
    streams = [pool.open() for _ in range(50)]
    for stream in streams[::2]:
        stream.push(levels(1, 1))
    streams[1].push(levels(1))  # not a whole chunk
    assert pool.ready == 25
    pool.tick()
    stats = pool.stats()
    assert (stats.calls, stats.ready, stats.audio_seconds) == (1, 0, pytest.approx(25 * 0.08))


def test_a_frame_more_than_most_have_waits_for_their_next_call(toy: Recognizer) -> None:
    pool = StreamPool(toy, chunk_seconds=0.04, max_chunk_seconds=0.4)
    streams = [pool.open() for _ in range(5)]
    for stream in streams:
        stream.push(np.zeros(3 * FRAME, np.float32))
    streams[0].push(np.zeros(FRAME, np.float32))  # its next message came early
    pool.tick()
    assert pool.stats().calls == 1
    assert [stream.state.frames for stream in streams] == [3] * 5
    for stream in streams[1:]:
        stream.push(np.zeros(3 * FRAME, np.float32))
    streams[0].push(np.zeros(2 * FRAME, np.float32))  # and the one after that did not
    pool.tick()
    assert pool.stats().calls == 2
    assert [stream.state.frames for stream in streams] == [6] * 5
    streams[0].push(np.zeros(FRAME, np.float32))
    streams[0].finish()  # nothing waits at the end
    drain(pool)
    assert streams[0].closed


def test_a_backlog_is_heard_a_chunk_a_tick(toy: Recognizer) -> None:
    """So that one who sends an hour at once does not keep the others waiting."""
    pool = StreamPool(toy, chunk_seconds=0.08)
    stream = pool.open(sample_rate=44100)
    stream.push(np.zeros(44100, np.int16))
    assert stream.backlog_seconds == 1.0
    pool.tick()
    assert stream.backlog_seconds == pytest.approx(0.92)
    drain(pool)
    assert stream.backlog_seconds < 0.08 + 0.005
    assert stream.seconds == 1.0


def test_a_stream_that_pauses_stays_as_it_was(toy: Recognizer) -> None:
    pool = StreamPool(toy, chunk_seconds=0.04)
    paused, busy = pool.open(), pool.open()
    paused.push(levels(1, 1, 2))
    heard = drain(pool)
    for _ in range(7):
        busy.push(levels(3))
        drain(pool)
    paused.push(levels(2, 0))
    paused.finish()
    heard[paused] = heard.get(paused, []) + drain(pool)[paused]
    assert heard[paused] == toy.transcribe(levels(1, 1, 2, 2, 0))


def test_a_stream_fails_alone(toy: Recognizer) -> None:
    pool = StreamPool(toy, chunk_seconds=0.04)
    good = [pool.open() for _ in range(3)]
    bad = pool.open(snapshot=poisoned(toy).save())
    ends_badly = pool.open(snapshot=poisoned(toy).save())
    for stream in (*good, bad):
        stream.push(levels(1, 0, 2, 0))
    ends_badly.finish()
    heard: dict[PooledStream, list[Phone]] = {stream: [] for stream in good}
    failed = {}
    while pool.ready:
        for stream, phones, error, finished in pool.tick():
            if error is not None:
                failed[stream] = type(error), finished, stream.closed
            else:
                heard[stream] += phones
    assert failed == dict.fromkeys([bad, ends_badly], (ModelError, True, True))
    for stream in good:
        stream.finish()
    for stream, phones in drain(pool).items():
        assert heard[stream] + phones == toy.transcribe(levels(1, 0, 2, 0))
    stats = pool.stats()
    assert (stats.opened, stats.finished, stats.failed, stats.streams) == (5, 3, 2, 0)


def test_a_tick_that_is_cut_off_can_be_tried_again(toy: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = StreamPool(toy, chunk_seconds=0.08)
    streams = [pool.open() for _ in range(3)]
    for stream in streams:
        stream.push(levels(1, 0, 2, 0))
    with monkeypatch.context() as patch:
        patch.setattr(type(toy._model), "run_into", lambda *_: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            pool.tick()
    for stream in streams:
        stream.finish()
    assert list(drain(pool).values()) == [toy.transcribe(levels(1, 0, 2, 0))] * 3


def test_events_come_where_they_were_asked_for(toy: Recognizer) -> None:
    pool = StreamPool(toy)
    asked, plain = pool.open(endpoints=RULES, report_gaps=True), pool.open()
    for stream in (asked, plain):
        stream.push(levels(1, 0, 0, 0, 0, 0, 0, 0))
        stream.gap(4000)
        stream.finish()
    heard = drain(pool)
    assert [type(event) for event in heard[asked]] == [Phone, Endpoint, Lost, Endpoint]
    assert [type(event) for event in heard[plain]] == [Phone]
    assert plain.lost == [Lost(0.32, 0.25)]
    assert pool.stats().lost_seconds == 0.5


def test_gaps_are_reported_once_however_long_and_without_endpoints(toy: Recognizer) -> None:
    pool = StreamPool(toy, chunk_seconds=0.08)
    stream = pool.open(sample_rate=8000, report_gaps=True)
    stream.push(levels(1, 1, samples=320))
    stream.gap(8000 * 60)
    stream.push(levels(2, 0, samples=320))
    stream.finish()
    found = drain(pool)[stream]
    alone = toy.stream()
    expected = alone.accept(levels(1, 1, samples=320), 8000) + alone.gap(8000 * 60)
    expected += alone.accept(levels(2, 0, samples=320), 8000) + alone.finish()
    assert [event for event in found if not isinstance(event, Lost)] == expected
    assert [event for event in found if isinstance(event, Lost)] == [Lost(0.08, 60.0)] == stream.lost
    assert pool.stats().ticks > 60 / 0.08


def test_posteriors_are_those_alone(toy: Recognizer) -> None:
    pool = StreamPool(toy, chunk_seconds=0.04, max_chunk_seconds=0.2)
    saved = toy.stream(posteriors=True)
    before = levels(1, 2, 3, 4)
    saved.accept(before)
    stream, plain = pool.open(snapshot=saved.save(), posteriors=True), pool.open(snapshot=saved.save())
    pieces = [levels(1, 2), levels(3), levels(1, 0, 2, 4, 0, 1, samples=700)]
    found: dict[PooledStream, list[Any]] = {stream: [], plain: []}
    for piece in pieces:
        for each in found:
            each.push(piece)
        for result in pool.tick():
            found[result.stream] += result.events
    for each in found:
        each.finish()
    for each, events in drain(pool).items():
        found[each] += events
    rows = np.concatenate([event.rows for event in found[stream] if isinstance(event, Posteriors)])
    np.testing.assert_array_equal(rows, toy.log_probs(np.concatenate([before, *pieces])))
    assert [event for event in found[stream] if isinstance(event, Phone)] == found[plain]
    with pytest.raises(ConfigError, match="keeps no posteriors"):
        pool.open(snapshot=toy.stream().save(), posteriors=True)


# Snapshots


def test_what_save_has_found_is_ready_to_be_told(toy: Recognizer) -> None:
    """Though less than a chunk was pushed, so that a tick had nothing to do before."""
    pool = StreamPool(toy, chunk_seconds=0.64)
    stream = pool.open()
    stream.push(levels(1, 2, 3, 0, 0, 0))
    assert pool.ready == 0
    stream.save()
    assert pool.ready == 1
    assert [phone.symbol for phone in drain(pool)[stream]] == ["A", "B"]


def test_a_stream_that_is_handed_over_ends_with_its_snapshot(toy: Recognizer) -> None:
    pool = StreamPool(toy)
    stream = pool.open()
    stream.push(levels(1, 1, 2, samples=700))
    stream.request_snapshot(hand_over=True)
    [(told, events, error, finished)] = pool.tick()
    alone = toy.stream()
    expected: list[Any] = [*alone.accept(levels(1, 1, 2, samples=700)), Snapshot(2100, alone.save())]
    assert (told, events, error, finished) == (stream, expected, None, True)
    assert stream.closed
    assert not stream.finished
    assert pool.stats().streams == 0


def test_a_paused_stream_waits_and_loses_nothing(toy: Recognizer) -> None:
    pool = StreamPool(toy, chunk_seconds=0.04)
    stream = pool.open()
    stream.push(levels(1, 0, 2, 0))
    assert pool.ready == 1
    stream.pause()
    assert pool.ready == 0
    stream.finish()
    assert pool.tick() == []
    stream.pause(False)
    assert drain(pool)[stream] == toy.transcribe(levels(1, 0, 2, 0))


@pytest.mark.parametrize("rate", [8000, 192_000])
def test_any_number_of_tiny_pieces_stay_few_entries(toy: Recognizer, rate: int) -> None:
    """A server that reads no more while many wait could otherwise wait for a frame for ever."""
    pool = StreamPool(toy, chunk_seconds=0.16)
    stream, alone = pool.open(sample_rate=rate), toy.stream()
    audio = levels(1, samples=rate // 10)
    for _ in range(2):
        for first in range(0, 3000, 3):
            stream.push(audio[first : first + 2])
            stream.gap(1)
            if len(stream.inbox) > MANY_ENTRIES:
                pool.tick()
            assert len(stream.inbox) <= MANY_ENTRIES + 1
            alone.accept(audio[first : first + 2], rate)
            alone.gap(1)
    assert stream.save() == alone.save()


def test_snapshots_move_between_pools_and_streams(toy: Recognizer) -> None:
    pool = StreamPool(toy)
    stream, alone = pool.open(endpoints=RULES), toy.stream(endpoints=RULES)
    expected = alone.accept(levels(1, 1, 0, 3, 0, 0, 2))
    stream.push(levels(1, 1, 0, 3, 0, 0, 2))
    saved = stream.save()
    assert saved == alone.save()
    assert drain(pool)[stream] == expected
    assert toy.restore(saved).finish() == alone.copy().finish()

    moved = StreamPool(toy, chunk_seconds=0.04).open(snapshot=saved)
    moved.push(levels(0, 0))
    moved.finish()
    assert drain(moved._pool)[moved] == alone.accept(levels(0, 0)) + alone.finish()


def test_a_finished_snapshot_ends_at_once(toy: Recognizer) -> None:
    stream = toy.stream()
    stream.accept(levels(1, 2))
    stream.finish()
    pool = StreamPool(toy)
    restored = pool.open(snapshot=stream.save())
    with pytest.raises(AudioError, match="finished"):
        restored.push(levels(1))
    assert pool.tick() == [(restored, [], None, True)]


def test_rows_that_nobody_could_take_are_left_out(toy: Recognizer) -> None:
    stream = toy.stream(posteriors=True)
    stream.accept(levels(1, 2, 3, 4))
    assert "posteriors" not in unpacked(StreamPool(toy).open(snapshot=stream.save()).save())[1]


def test_what_is_not_the_snapshots_is_refused(toy: Recognizer) -> None:
    pool = StreamPool(toy)
    stream = toy.stream(endpoints=RULES)
    stream.accept([0.0], 8000)
    with pytest.raises(ConfigError, match="other endpoint rules"):
        pool.open(snapshot=stream.save(), endpoints=False)
    with pytest.raises(AudioError, match="16000 for a snapshot of a stream at 8000"):
        pool.open(snapshot=stream.save(), sample_rate=16000)
    with pytest.raises(SnapshotError):
        pool.open(snapshot=stream.save()[:-1])
    assert pool.open(snapshot=stream.save(), endpoints=RULES, sample_rate=8000).sample_rate == 8000
    assert pool.stats().opened == 1


# Limits and threads


def test_a_full_pool_refuses_and_has_room_again(toy: Recognizer) -> None:
    pool = StreamPool(toy, max_streams=2)
    first, _ = pool.open(), pool.open()
    assert pool.full
    with pytest.raises(ConfigError, match="holds 2 streams"):
        pool.open()
    first.push(levels(1, 1, 1, 1))
    pool.tick()
    first.close()
    first.close()
    third = pool.open()
    third.push(levels(2, 0, 0, 0, 0, 0))
    third.finish()
    assert [phone.symbol for phone in drain(pool)[third]] == ["B"]


def test_a_closed_stream_says_so(toy: Recognizer) -> None:
    stream = StreamPool(toy).open()
    stream.close()
    for call in (lambda: stream.push([0.0]), lambda: stream.gap(3), stream.save):
        with pytest.raises(AudioError, match="closed"):
            call()
    stream.finish()
    assert stream._pool.ready == 0


@pytest.mark.parametrize(
    "options",
    [
        {"chunk_seconds": 0.039},
        {"chunk_seconds": 4.1},
        {"chunk_seconds": float("nan")},
        {"chunk_seconds": "1"},
        {"max_chunk_seconds": 0.12},
        {"max_chunk_seconds": 4.1},
        {"max_streams": 0},
        {"max_streams": 1.0},
        {"max_streams": 2**20},
    ],
)
def test_pools_that_cannot_be_are_refused(toy: Recognizer, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        StreamPool(toy, **options)


@pytest.mark.parametrize("rate", [0, 999, 10**6, 16000.5, "16000"])
def test_rates_that_cannot_be_are_refused(toy: Recognizer, rate: Any) -> None:
    pool = StreamPool(toy)
    with pytest.raises(AudioError, match="sample rate"):
        pool.open(sample_rate=rate)
    assert pool.stats().streams == 0


def test_threads_push_while_another_ticks(toy: Recognizer) -> None:
    pool = StreamPool(toy, chunk_seconds=0.04)
    heard: dict[PooledStream, list[Phone]] = {}
    over = threading.Event()

    def work() -> None:
        while not (over.is_set() and not pool.ready):
            for stream, phones, error, _ in pool.tick():
                assert error is None
                heard.setdefault(stream, []).extend(phones)

    def speak(number: int) -> None:
        column = 1 + number % 5
        for _ in range(3):
            stream = pool.open()
            streams.append((stream, column))
            for _ in range(20):
                stream.push(levels(column, 0, samples=700))
                stream.save() if column == 3 else None
            stream.finish()

    streams: list[tuple[PooledStream, int]] = []
    worker = threading.Thread(target=work)
    speakers = [threading.Thread(target=speak, args=(number,)) for number in range(6)]
    for thread in (worker, *speakers):
        thread.start()
    for thread in speakers:
        thread.join()
    over.set()
    worker.join()
    assert len(streams) == 18
    for stream, column in streams:
        assert heard[stream] == toy.transcribe(np.tile(levels(column, 0, samples=700), 20))


# Slots


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_slots_keep_each_state_wherever_it_moves(toy: Recognizer, data: Any) -> None:
    """The toy's state is the last two frames, so that what it should be is known."""
    slots: Slots[int] = Slots(toy._model, 6)
    expected: dict[int, np.ndarray] = {}
    views: dict[int, Any] = {}
    for step in range(data.draw(st.integers(1, 12), "steps")):
        for key in data.draw(st.sets(st.integers(0, 5), max_size=2), "dropped"):
            slots.drop(key)
            expected.pop(key, None)
        for key in data.draw(st.sets(st.integers(0, 5), max_size=3), "put"):
            expected[key] = np.full(2 * FRAME, 100 * step + key, np.float32)
            views[key] = slots.keep(key, {"late": expected[key][None]})
        ready = data.draw(st.permutations(sorted(expected)), "order")[: data.draw(st.integers(0, 6), "ready")]
        if ready:
            audio = [np.full(FRAME, 1000 * step + key, np.float32) for key in ready]
            order, log_probs, states = slots.advance(ready, [views[key] for key in ready], audio)
            assert sorted(order) == sorted(ready)
            assert log_probs.shape == (len(ready), 1, 6)
            assert [states[row]["late"].tolist() for row in range(len(order))] == [
                slots.tensor(key, "late").tolist() for key in order
            ]
            for key, samples in zip(ready, audio, strict=True):
                expected[key] = np.concatenate([expected[key][FRAME:], samples])
        for key, late in expected.items():
            assert key in slots
            np.testing.assert_array_equal(views[key]["late"], late[None])


def test_states_that_cannot_lie_side_by_side_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="batch on axis 1"):
        StreamPool(Recognizer(sideways_model(tmp_path / "sideways.onnx")))
