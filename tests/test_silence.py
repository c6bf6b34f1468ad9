"""What is said is heard alike after any silence; where the rule takes sums back does not depend on how audio comes."""

import csv
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fixture import shipped_model
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from silence_reference import onnx_run, ruled_log_probs
from toy_model import FRAME, levels, summing, toy_metadata, toy_model, without

from phonestream import Phone, Recognizer, SnapshotError, Stream, StreamPool
from phonestream.asr.evaluation.score import PhoneErrors, phone_errors
from phonestream.commands.info import describe
from phonestream.streaming.metadata import ModelMetadata
from phonestream.streaming.model import Model
from phonestream.streaming.pool.results import Posteriors
from phonestream.streaming.silence import SilenceRule, default_rule

SPEECH = Path(__file__).parent / "data" / "speech"
MAX_SNAPSHOT = 384 * 1024


def toy(folder: Path, **changes: Any) -> Recognizer:
    return Recognizer(toy_model(folder / "toy.onnx", **{"silence": summing()} | changes))


@pytest.fixture(scope="module", params=[(1, 2, 0), (2, 2, 0), (1, 0, 3), (1, 5, 0)], ids=str)
def counting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    """Toys of different rows per frame, look-ahead and blank."""
    rows, late, blank = request.param
    folder = tmp_path_factory.mktemp("toy")
    return toy(folder, rows_per_frame=rows, look_ahead_frames=late, blank=blank)


@pytest.fixture(scope="module")
def shipped() -> Recognizer:
    return Recognizer(shipped_model())


@pytest.fixture(scope="module")
def fading(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    """The default model with a rule that leaves four of its heads alone."""
    model = onnx.load(shipped_model())
    (entry,) = (entry for entry in model.metadata_props if entry.key == "silence")
    entry.value = json.dumps(json.loads(entry.value) | {"fading_heads": 4})
    path = tmp_path_factory.mktemp("shipped") / "fading.onnx"
    onnx.save(model, path)
    return Recognizer(path)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    samples: np.ndarray = soundfile.read(SPEECH / "dev/2830-3979-0000.opus", dtype="float32")[0]
    return samples


@cache
def session(source: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(source, options)


def reference(recognizer: Recognizer, samples: np.ndarray) -> tuple[np.ndarray, int]:
    """Rows by the rule's definition, and how many intervals were silent."""
    meta = recognizer.metadata
    zeros = {spec.name: spec.zeros(1) for spec in meta.states}
    return ruled_log_probs(onnx_run(session(recognizer._model.source)), zeros, meta, samples)


def rows_of(stream: Stream[Any], chunks: Sequence[np.ndarray]) -> tuple[np.ndarray, list[Phone]]:
    phones = [phone for chunk in chunks for phone in stream.accept(chunk)] + stream.finish()
    return stream.take_posteriors(), phones


def assert_same(rows: np.ndarray, expected: np.ndarray) -> None:
    assert rows.shape == expected.shape
    likely = np.maximum(rows, expected) > -15
    np.testing.assert_allclose(rows[likely], expected[likely], atol=1e-4, rtol=0)


def pauses(blank: int) -> st.SearchStrategy[list[int]]:
    """Columns of frames: stretches of silence, of every length around an interval's, and phones between them."""
    others = [column for column in range(5) if column != blank]
    silence = st.integers(0, 14).map(lambda frames: [blank] * frames)
    spoken = st.lists(st.sampled_from(others), max_size=3)
    return st.lists(silence | spoken, max_size=12).map(lambda parts: [*chain.from_iterable(parts)])


# Exactness: the definition, whatever the chunks


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_any_chunks_give_what_the_definition_says(counting: Recognizer, data: Any) -> None:
    audio = levels(*data.draw(pauses(counting.metadata.blank), "columns"))
    audio = audio[: len(audio) - data.draw(st.integers(0, min(len(audio), FRAME)), "cut off")]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(audio)), max_size=8), "cuts"))
    expected, _ = reference(counting, audio)
    rows, phones = rows_of(counting.stream(posteriors=True), np.split(audio, cuts))
    assert_same(rows, expected)
    assert [phone[:3] for phone in phones] == [phone[:3] for phone in counting.transcribe(audio)]


@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_saving_anywhere_changes_nothing(counting: Recognizer, data: Any) -> None:
    audio = levels(*data.draw(pauses(counting.metadata.blank), "columns"))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(audio)), max_size=8), "cuts"))
    stayed, moved = counting.stream(), counting.stream()
    for chunk in np.split(audio, cuts):
        moved = counting.restore(moved.save())
        assert moved.save() == stayed.save()
        assert moved.accept(chunk) == stayed.accept(chunk)
    assert moved.finish() == stayed.finish()
    assert moved.save() == stayed.save()


@given(data=st.data())
@settings(deadline=None, max_examples=30)
def test_many_streams_in_one_call_are_each_as_if_alone(counting: Recognizer, data: Any) -> None:
    audio = [levels(*data.draw(pauses(counting.metadata.blank))) for _ in range(data.draw(st.integers(1, 5)))]
    streams = [counting.stream(posteriors=True) for _ in audio]
    parts = []
    for samples in audio:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), min_size=3, max_size=3)))
        parts.append(np.split(samples, cuts))
    for turn in range(4):
        counting.accept_many([(stream, own[turn]) for stream, own in zip(streams, parts, strict=True)])
    for stream, samples in zip(streams, audio, strict=True):
        rows, _ = rows_of(stream, [])
        assert_same(rows, reference(counting, samples)[0])


@given(data=st.data())
@settings(deadline=None, max_examples=30)
def test_streams_of_a_pool_are_each_as_if_alone(counting: Recognizer, data: Any) -> None:
    """They are pushed to unevenly, so that some are silent while others speak; one moves to another pool."""
    audio = [levels(*data.draw(pauses(counting.metadata.blank))) for _ in range(data.draw(st.integers(1, 5)))]
    chunk = data.draw(st.sampled_from([0.04, 0.12, 0.16]))
    pool = StreamPool(counting, chunk_seconds=chunk)
    other = StreamPool(counting, chunk_seconds=0.04)
    streams = [pool.open(posteriors=True) for _ in audio]
    rows: list[list[np.ndarray]] = [[] for _ in audio]

    def run() -> None:
        for each in (pool, other):
            while each.ready:
                for result in each.tick():
                    assert result.error is None
                    for event in result.events:
                        if isinstance(event, Posteriors):
                            rows[streams.index(result.stream)].append(event.rows)

    for turn in range(3):
        for index, samples in enumerate(audio):
            streams[index].push(np.array_split(samples, 3)[turn])
            if data.draw(st.booleans()):
                run()
        if turn == 1:
            run()
            saved = streams[0].save()
            run()
            streams[0].close()
            streams[0] = other.open(snapshot=saved, posteriors=True)
    for stream in streams:
        stream.finish()
    run()
    for found, samples in zip(rows, audio, strict=True):
        columns = len(counting.phones) + 1
        assert_same(
            np.concatenate([np.zeros((0, columns), np.float32), *found]), reference(counting, samples)[0]
        )


@pytest.mark.parametrize("size", [37 * 7, FRAME, 4096, 16 * FRAME, 10**7])
def test_the_shipped_model_too(size: int, shipped: Recognizer, speech: np.ndarray) -> None:
    rng = np.random.default_rng(size)
    room = (1e-3 * rng.standard_normal(5 * 16000)).astype(np.float32)
    first, second = speech[:24000], speech[24000:64000]
    audio = np.concatenate([np.zeros(5 * 16000, np.float32), first, room, second])
    audio = audio if size >= FRAME else audio[: 7 * 16000]
    expected, silent = reference(shipped, audio)
    assert silent > 3
    chunks = np.split(audio, range(size, len(audio), size))
    rows, _ = rows_of(shipped.stream(posteriors=True), chunks)
    assert_same(rows, expected)


def test_heads_that_fade_by_themselves_are_left_alone(
    fading: Recognizer, shipped: Recognizer, speech: np.ndarray
) -> None:
    audio = np.concatenate([speech[:32000], np.zeros(41 * 1600, np.float32), speech[32000:48000]])
    expected, silent = reference(fading, audio)
    assert silent > 3
    chunks = np.split(audio, range(1600, len(audio), 1600))
    rows, _ = rows_of(fading.stream(posteriors=True), chunks)
    assert_same(rows, expected)
    assert np.abs(rows - shipped.log_probs(audio)).max() > 1e-2
    stream, rows = fading.stream(posteriors=True), []
    for chunk in chunks:  # restored at every place
        stream.accept(chunk)
        rows.append(stream.take_posteriors())
        stream = fading.restore(stream.save())
    stream.finish()
    assert_same(np.concatenate([*rows, stream.take_posteriors()]), expected)


def test_rows_are_those_of_the_graph_where_nothing_is_silent(shipped: Recognizer, speech: np.ndarray) -> None:
    expected, silent = reference(shipped, speech)
    assert silent == 0
    assert_same(shipped.log_probs(speech), expected)


# What it is for


def per(stream: Stream[Any]) -> float:
    """Of the shipped recordings, each heard next by a copy of `stream`."""
    found = []
    with (SPEECH / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        for entry in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            fork = stream.copy()
            phones = fork.accept(soundfile.read(SPEECH / entry["path"], dtype="float32")[0]) + fork.finish()
            found.append(phone_errors(entry["phones"].split(), [phone.symbol for phone in phones]))
    return 100 * sum(found, PhoneErrors()).per


# The six recordings have 444 phones: one is 0.2 points. Where an interval ends makes some differ, more for tiny.
@pytest.mark.parametrize(("name", "allowed"), [("default", 1.5), ("tiny", 2.5)])
def test_what_is_said_after_silence_is_heard_as_at_the_beginning(name: str, allowed: float) -> None:
    """Every live microphone begins with silence; ten seconds of it once doubled the errors of all that followed."""
    recognizer = Recognizer(name, decoder="greedy")
    alone = per(recognizer.stream())
    noise = (1e-3 * np.random.default_rng(0).standard_normal(60 * 16000)).astype(np.float32)
    for lead in (np.zeros(60 * 16000, np.float32), noise):
        stream = recognizer.stream()
        for part in (lead[: 10 * 16000], lead[10 * 16000 :]):
            assert stream.accept(part) == []
            assert per(stream) <= alone + allowed, f"after {stream.seconds:g} s of silence"


def test_the_sums_are_bounded_in_silence(shipped: Recognizer, speech: np.ndarray) -> None:
    stream = shipped.stream()
    stream.accept(speech[:48000])
    largest = []
    for _ in range(4):
        stream.accept(np.zeros(20 * 16000, np.float32))
        largest.append(float(np.abs(stream._state.model["z0"]).max()))
    assert largest[-1] <= 1.05 * largest[0]


# What it costs


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Frames of each call of the graph from now on."""
    frames: list[int] = []
    run = Model.run_unchecked

    def counted(self: Model, audio: np.ndarray, state: Any) -> Any:
        frames.append(audio.shape[0] * audio.shape[1] // self.metadata.frame_samples)
        return run(self, audio, state)

    monkeypatch.setattr(Model, "run_unchecked", counted)
    return frames


@pytest.mark.parametrize(("chunk", "again"), [(1, 0), (4, 0), (3, 6), (16, 16), (60, 120)])
def test_frames_are_run_once_but_for_a_call_in_which_a_silence_begins(
    chunk: int, again: int, tmp_path: Path, calls: list[int]
) -> None:
    """Live chunks that divide an interval are never run again: silence costs what speech does."""
    recognizer = toy(tmp_path)
    audio = levels(*[0] * 40, 1, 2, *[0] * 30, 3, *[0] * 47)
    calls.clear()
    stream = recognizer.stream()
    for part in np.split(audio, range(chunk * FRAME, len(audio), chunk * FRAME)):
        stream.accept(part)
    assert sum(calls) == len(audio) // FRAME + again


@pytest.mark.parametrize("seconds", [8, 60, 600])
def test_silence_of_any_length_costs_a_block_more(seconds: int, tmp_path: Path, calls: list[int]) -> None:
    recognizer = toy(tmp_path)
    calls.clear()
    recognizer.stream().accept(np.zeros(seconds * 16000, np.float32))
    assert sum(calls) == seconds * 25 + recognizer._model.block_samples // FRAME


# What is kept


def test_a_snapshot_stays_small(shipped: Recognizer, speech: np.ndarray) -> None:
    stream = shipped.stream()
    stream.accept(speech)
    sizes = set()
    for _ in range(40):
        stream.accept(np.zeros(1600, np.float32))
        sizes.add(len(stream.save()) // 1024)
    remembered = describe(shipped._model.source)["silence_kib"]
    assert (
        remembered - 2 <= max(sizes) - min(sizes) <= remembered + 6
    )  # sums that differ are in it, others are not
    assert max(sizes) <= MAX_SNAPSHOT // 1024


def changed(snapshot: bytes, **changes: Any) -> bytes:
    """A snapshot with other fields or tensors (None: without it), its checksum right."""
    header = json.loads(snapshot[8 : 8 + int.from_bytes(snapshot[:8], "little")])
    fields = json.loads(header["__metadata__"]["phonestream_snapshot"])
    tensors = load_tensors(snapshot)
    del fields["sha256"]
    for name, value in changes.items():
        place: dict[str, Any] = tensors if name.startswith("silence") else fields
        place.pop(name, None)
        if value is not None:
            place[name] = value
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].tobytes())
    metadata = {"phonestream_snapshot": json.dumps(fields | {"sha256": digest.hexdigest()})}
    return save_tensors(tensors, metadata)


def test_what_a_snapshot_says_of_silence_is_checked(tmp_path: Path) -> None:
    recognizer = toy(tmp_path)
    stream = recognizer.stream()
    stream.accept(levels(*[0] * 10))
    saved = stream.save()
    assert recognizer.restore(changed(saved)).save() == saved
    wrong: list[dict[str, Any]] = [
        {"silence.s0": None},
        {"silence.s0": np.zeros((1, 2), np.float32)},
        {"silence.s0": np.full((1, 1), np.inf, np.float32)},
        {"silence.late": np.zeros((1, 1280), np.float32)},
        {"quiet": 11},
        {"quiet": -1},
        {"quiet": 10.0},
        {"quiet": 3},  # then nothing is remembered
    ]
    for changes in wrong:
        with pytest.raises(SnapshotError, match="the snapshot is damaged"):
            recognizer.restore(changed(saved, **changes))
    before = changed(saved, quiet=None, **{"silence.s0": None})  # as it was written before there was a rule
    assert recognizer.restore(before).accept(levels(0, 0)) == []


def test_a_rule_is_read_and_its_absence_is_a_choice(tmp_path: Path) -> None:
    rule = summing(blank_probability=0.75, interval_frames=9, after_frames=0)
    assert toy(tmp_path, silence=rule).metadata.silence == rule
    meta = toy_metadata(silence=rule)
    written = meta.to_map()
    assert ModelMetadata.from_map(written | {"silence": "null"}).silence is None
    del written["silence"]  # a file of before there was a rule
    assert ModelMetadata.from_map(written).silence == SilenceRule(("s0",)) == default_rule(["late", "s0"])
    assert ModelMetadata.from_map(without("silence")).silence is None
    assert json.loads(meta.to_map()["silence"])["states"] == ["s0"]
    assert default_rule(["audio_tail", "s0", "z0", "s11", "state", "s"]) == SilenceRule(("s0", "z0", "s11"))
