"""A saved stream goes on as if it had never stopped, in any process; a damaged one is refused whole."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fixture import shipped_model
from safetensors.numpy import save as save_tensors
from snapshots import KEY, sealed, unpacked
from toy_model import levels, toy_model

from phonestream import AudioError, BeamSearch, Lost, Recognizer, SnapshotError, StreamPool

RECORDING = Path(__file__).parent / "data/speech/test/121-121726-0000.opus"


@pytest.fixture(scope="module")
def shipped() -> Recognizer:
    return Recognizer(shipped_model())


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return Recognizer(toy_model(tmp_path_factory.mktemp("models") / "toy.onnx"))


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    samples: np.ndarray = soundfile.read(RECORDING, dtype="float32")[0]
    return samples


@cache
def saved(toy: Recognizer, rate: int = 44100) -> bytes:
    """A snapshot in which every field and tensor has something."""
    stream = toy.stream(posteriors=True)
    stream.accept(levels(0, 1, 2, 2, samples=rate // 25), rate)
    stream.gap(1000)
    stream.accept(levels(3, 3, 3, 3, samples=rate // 25), rate)
    return stream.save()


# Going on


def test_a_restored_stream_is_the_same_to_the_bit(shipped: Recognizer, speech: np.ndarray) -> None:
    for rate in (16000, 44100):
        stream = shipped.stream(posteriors=True)
        for begin in range(0, 24000, 2977):
            chunk = speech[begin : begin + 2977]
            restored = shipped.restore(stream.save())
            assert restored.save() == stream.save()
            assert restored.accept(chunk, rate) == stream.accept(chunk, rate)
            np.testing.assert_array_equal(restored.take_posteriors(), stream.take_posteriors())
        assert restored.finish() == stream.finish()
        np.testing.assert_array_equal(restored.take_posteriors(), stream.take_posteriors())
        assert shipped.restore(stream.save()).finished


ELSEWHERE = """
import sys, json, numpy, phonestream
model, snapshot, samples, after = sys.argv[1:]
stream = phonestream.Recognizer(model).restore(open(snapshot, "rb").read())
phones = [phone for chunk in numpy.load(samples) for phone in stream.accept(chunk, 22050)] + stream.finish()
open(after, "wb").write(stream.save())
print(json.dumps(phones))
"""


def test_a_stream_moves_to_another_process(shipped: Recognizer, speech: np.ndarray, tmp_path: Path) -> None:
    """Phones, confidences, rows and the state after them are those of a stream that never stopped."""
    stream = shipped.stream(posteriors=True)
    stream.accept(speech[:30011], 22050)
    (tmp_path / "snapshot").write_bytes(stream.save())
    chunks = speech[30011 : 30011 + 40000].reshape(10, 4000)
    np.save(tmp_path / "samples.npy", chunks)
    files = [tmp_path / name for name in ("snapshot", "samples.npy", "after")]
    command = [sys.executable, "-c", ELSEWHERE, *map(str, (shipped_model(), *files))]
    result = subprocess.run(command, capture_output=True, text=True, check=True)

    phones = [phone for chunk in chunks for phone in stream.accept(chunk, 22050)] + stream.finish()
    assert [tuple(phone) for phone in json.loads(result.stdout)] == phones
    assert (tmp_path / "after").read_bytes() == stream.save()
    assert len(phones) > 0


@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_saving_anywhere_changes_nothing(toy: Recognizer, data: Any) -> None:
    rate = data.draw(st.sampled_from([8000, 16000, 44100]))
    audio = levels(*data.draw(st.lists(st.integers(0, 5), max_size=8)), samples=rate // 25)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(audio)), max_size=6)))
    stayed, moved = toy.stream(), toy.stream()
    for chunk in np.split(audio, cuts):
        moved = toy.restore(moved.save())
        assert moved.accept(chunk, rate) == stayed.accept(chunk, rate)
    assert moved.finish() == stayed.finish()
    assert moved.save() == stayed.save()


def test_everything_comes_back(toy: Recognizer) -> None:
    snapshot = saved(toy)
    stream = toy.restore(snapshot)
    assert stream.save() == snapshot
    assert stream.lost == toy.restore(snapshot).copy().lost
    assert stream.lost[0].seconds == pytest.approx(1000 / 44100)
    assert stream.seconds == pytest.approx((8 * 44100 // 25 + 1000) / 44100)
    assert len(stream.take_posteriors()) > 0


def test_a_new_and_a_finished_stream_can_be_saved(toy: Recognizer) -> None:
    new = toy.stream()
    assert toy.restore(new.save()).accept(levels(1, 0, 0, 0), 16000) == new.accept(levels(1, 0, 0, 0))
    empty = toy.stream()
    empty.finish()
    assert toy.restore(empty.save()).finished


def test_snapshots_of_before_phones_had_intervals_go_on(toy: Recognizer) -> None:
    fields, tensors = unpacked(saved(toy))
    del fields["tiling"]
    (*_, last) = toy.restore(sealed(fields, tensors)).finish()
    assert last == toy.restore(saved(toy)).finish()[-1]


def test_the_size_is_bounded(shipped: Recognizer, speech: np.ndarray) -> None:
    stream = shipped.stream()
    sizes = []
    for _ in range(4):
        stream.accept(speech[:64000])
        sizes.append(len(stream.save()))
        for _ in range(20):  # of silence, in which the sums are kept twice
            stream.accept(np.zeros(1700, np.float32))  # no whole number of frames
            sizes.append(len(stream.save()))
    for page, promise in (
        ("snapshot.md", r"that is at most (\d+) KiB"),
        ("silence.md", r"from 220 to at most (\d+) KiB"),
    ):
        text = (Path(__file__).parent.parent / "docs" / page).read_text(encoding="utf-8")
        (most,) = re.findall(promise, text.replace("\n", " "))
        assert max(sizes) <= int(most) * 1024, page


def test_the_layout_is_what_the_documentation_says(toy: Recognizer) -> None:
    fields, tensors = unpacked(saved(toy))
    page = (Path(__file__).parent.parent / "docs/snapshot.md").read_text(encoding="utf-8")
    for name in [*fields, *(name for name in tensors if not name.startswith("model."))]:
        assert f"`{name}`" in page
    assert sealed(fields, tensors) == saved(toy)


# Refusals


def test_another_models_snapshot_is_refused(toy: Recognizer, tmp_path: Path) -> None:
    other = Recognizer(toy_model(tmp_path / "other.onnx", version="2"))
    with pytest.raises(SnapshotError, match="belongs to another model"):
        other.restore(saved(toy))


def test_another_format_is_refused(toy: Recognizer) -> None:
    fields, tensors = unpacked(saved(toy))
    with pytest.raises(SnapshotError, match="is of format 2 and this version of Phonestream reads 1"):
        toy.restore(sealed(fields | {"format": 2}, tensors))


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, 1000, -1])
def test_a_truncated_snapshot_is_refused(toy: Recognizer, length: int) -> None:
    with pytest.raises(SnapshotError, match="truncated"):
        toy.restore(saved(toy)[:length])


@pytest.mark.parametrize(
    "junk", [b"RIFF" + bytes(99), bytes(200), b"\xff" * 64, save_tensors({}), "text", None]
)
def test_what_is_no_snapshot_is_refused(toy: Recognizer, junk: Any) -> None:
    with pytest.raises(SnapshotError, match="the snapshot"):
        toy.restore(junk)


@given(position=st.integers(0, 2**20), flip=st.integers(1, 255))
@settings(deadline=None, max_examples=300)
def test_one_changed_byte_is_noticed(toy: Recognizer, position: int, flip: int) -> None:
    snapshot = bytearray(saved(toy))
    position %= len(snapshot)
    snapshot[position] ^= flip
    try:
        stream = toy.restore(bytes(snapshot))
    except SnapshotError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        # White space in the header may differ without changing the stream.
        assert stream.save() == saved(toy)


@given(data=st.binary(max_size=300))
@settings(deadline=None)
def test_any_bytes_are_refused(toy: Recognizer, data: bytes) -> None:
    with pytest.raises(SnapshotError):
        toy.restore(data)
    header = len(data).to_bytes(8, "little") + data
    with pytest.raises(SnapshotError):
        toy.restore(header)


def held(fields: dict[str, Any], place: int, value: Any) -> dict[str, Any]:
    """The fields' tiling, another value being in its phone."""
    phone = fields["tiling"]["held"].copy()
    phone[place] = value
    return {"tiling": fields["tiling"] | {"held": phone}}


NONSENSE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "surplus field": lambda fields: {"more": 1},
    "rate of a bat": lambda fields: {"rate": 10**7},
    "rate is text": lambda fields: {"rate": "44100"},
    "rate is true": lambda fields: {"rate": True},
    "no rate": lambda fields: {"rate": None},
    "other rate": lambda fields: {"rate": 48000},
    "negative clock": lambda fields: {"received": -1},
    "absurd clock": lambda fields: {"received": 10**30},
    "clock runs ahead": lambda fields: {"received": fields["received"] + 10**6},
    "fractional clock": lambda fields: {"received": 5000.5},
    "frames": lambda fields: {"frames": fields["frames"] + 1},
    "row": lambda fields: {"row": fields["row"] - 1},
    "finished early": lambda fields: {"finished": True},
    "finished is 0": lambda fields: {"finished": 0},
    "run of a blank": lambda fields: {"run": [0, 1, 0.5]},
    "run of no phone": lambda fields: {"run": [6, 1, 0.5]},
    "run from the future": lambda fields: {"run": [1, fields["row"], 0.5]},
    "confidence above 1": lambda fields: {"run": [1, 1, 1.5]},
    "confidence is nan": lambda fields: {"run": [1, 1, float("nan")]},
    "run is short": lambda fields: {"run": [1, 1]},
    "run is a number": lambda fields: {"run": 3},
    "tiling is a list": lambda fields: {"tiling": [0, 0, None]},
    "tiling is short": lambda fields: {"tiling": {"until": 0.0, "held": None}},
    "the last phone ended in the future": lambda fields: {"tiling": fields["tiling"] | {"until": 99.0}},
    "the utterance began nowhere": lambda fields: {"tiling": fields["tiling"] | {"floor": float("nan")}},
    "a held phone of the blank": lambda fields: held(fields, 0, 0),
    "a held phone from the future": lambda fields: held(fields, 2, fields["row"] + 1),
    "a held phone that goes on": lambda fields: held(fields, 2, fields["run"][1] + 1),
    "a held phone without rows": lambda fields: held(fields, 2, fields["tiling"]["held"][1]),
    "a held phone of confidence 2": lambda fields: held(fields, 3, 2),
    "a held phone's word is a number": lambda fields: held(fields, 4, 0),
    "a held phone from before the last": lambda fields: held(fields, 5, -0.1),
    "a held phone is short": lambda fields: {"tiling": fields["tiling"] | {"held": [1, 2]}},
    "gap beyond the end": lambda fields: {"lost": [[0, fields["received"] + 1]]},
    "gaps overlap": lambda fields: {"lost": [[0, 10], [5, 10]]},
    "gaps touch": lambda fields: {"lost": [[0, 10], [10, 10]]},
    "gap of nothing": lambda fields: {"lost": [[3, 0]]},
    "gap is a number": lambda fields: {"lost": [3]},
    "gaps are missing": lambda fields: {"lost": None},
}


@pytest.mark.parametrize("changes", NONSENSE.values(), ids=NONSENSE.keys())
def test_fields_that_cannot_be_are_refused_even_when_sealed(
    toy: Recognizer, changes: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    fields, tensors = unpacked(saved(toy))
    with pytest.raises(SnapshotError, match="is damaged"):
        toy.restore(sealed(fields | changes(fields), tensors))


def tensor_changes(name: str) -> dict[str, Callable[[np.ndarray], dict[str, np.ndarray]]]:
    return {
        "longer": lambda tensor: {name: np.concatenate([tensor, tensor], axis=-1)},
        "another rank": lambda tensor: {name: tensor[None]},
        "nan": lambda tensor: {name: np.full_like(tensor, np.nan)},
        "infinite": lambda tensor: {name: np.full_like(tensor, -np.inf)},
        "float64": lambda tensor: {name: tensor.astype(np.float64)},
        "int32": lambda tensor: {name: tensor.astype(np.int32)},
        "surplus": lambda tensor: {name + "2": tensor},
    }


@pytest.mark.parametrize("name", ["pending", "resampler.tail", "model.late", "posteriors"])
@pytest.mark.parametrize("change", tensor_changes(""))
def test_tensors_that_cannot_be_are_refused_even_when_sealed(toy: Recognizer, name: str, change: str) -> None:
    fields, tensors = unpacked(saved(toy))
    assert tensors[name].size > 0
    with pytest.raises(SnapshotError, match="is damaged"):
        toy.restore(sealed(fields, tensors | tensor_changes(name)[change](tensors[name])))


@pytest.mark.parametrize("name", ["pending", "resampler.tail", "model.late"])
def test_a_missing_tensor_is_refused_even_when_sealed(toy: Recognizer, name: str) -> None:
    fields, tensors = unpacked(saved(toy))
    del tensors[name]
    with pytest.raises(SnapshotError, match=name):
        toy.restore(sealed(fields, tensors))


def test_samples_out_of_all_bounds_are_refused_even_when_sealed(toy: Recognizer) -> None:
    fields, tensors = unpacked(saved(toy))
    with pytest.raises(SnapshotError, match="is no audio"):
        toy.restore(sealed(fields, tensors | {"pending": np.full_like(tensors["pending"], 1e30)}))


def after(toy: Recognizer, frames: int) -> bytes:
    """A valid snapshot of a stream whose clock is `frames` further on."""
    stream = toy.stream(decoder=BeamSearch(lm=None))
    stream.accept(levels(1, 2, 3, 0, 0, 0, 0))
    fields, tensors = unpacked(stream.save())
    fields |= {key: fields[key] + frames for key in ("frames", "row")}
    fields |= {"received": fields["received"] + 640 * frames, "tiling": fields["tiling"] | {"held": None}}
    return sealed(fields, tensors)


@pytest.mark.parametrize("rows", [2**31 - 10, 2**31, 2**32, 2**37])
def test_a_clock_with_more_rows_than_are_counted_is_refused_even_when_sealed(
    toy: Recognizer, rows: int
) -> None:
    """The searches count rows in 32 bits: such a stream could not be heard."""
    with pytest.raises(SnapshotError, match="'row' cannot be"):
        toy.restore(after(toy, rows))


def test_a_stream_of_as_many_rows_as_are_counted_takes_no_more_audio(toy: Recognizer) -> None:
    young, old = toy.restore(after(toy, 2**30 - 100)), toy.restore(after(toy, 2**30))
    assert young.accept(levels(1, 2, 3, 0, 0, 0, 0, 0))
    pooled = StreamPool(toy).open(snapshot=old.save())
    refused: list[Callable[[], Any]] = [
        lambda: old.accept(levels(1)),
        lambda: old.gap(640),
        lambda: pooled.push(levels(1)),
        lambda: pooled.gap(640),
    ]
    for call in refused:
        with pytest.raises(AudioError, match="start another"):
            call()
    ((_, error),) = toy.accept_many([(old, levels(1))])
    assert isinstance(error, AudioError)
    old.finish()
    assert toy.restore(old.save()).finished


@pytest.mark.parametrize("depth", [100, 300, 900, 3000, 100_000])
@pytest.mark.parametrize("key", ["format", "model", "lost"])
def test_fields_nested_without_end_are_refused(toy: Recognizer, key: str, depth: int) -> None:
    fields, tensors = unpacked(saved(toy))
    text = json.dumps(fields | {key: "nested"}).replace('"nested"', "[" * depth + "]" * depth)
    with pytest.raises(SnapshotError) as caught:
        toy.restore(save_tensors(tensors, {KEY: text}))
    assert len(str(caught.value)) < 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_whatever_is_sealed_is_refused_or_is_a_valid_stream(toy: Recognizer, data: Any) -> None:
    rate = data.draw(st.sampled_from([16000, 44100]), "rate")
    fields, tensors = unpacked(saved(toy, rate))
    for key in data.draw(st.sets(st.sampled_from(sorted(fields)), max_size=2), "keys"):
        if key != "sha256":
            value = fields[key]
            near = st.integers(value - 2, value + 2) if type(value) is int else json_values
            fields[key] = data.draw(near, key)
    for name in data.draw(st.sets(st.sampled_from(sorted(tensors)), max_size=1), "tensors"):
        shape = data.draw(st.lists(st.integers(0, 5), max_size=3), "shape")
        tensors[name] = np.full(shape, data.draw(st.floats(width=32)), np.float32)
    try:
        stream = toy.restore(sealed(fields, tensors))
    except SnapshotError:
        return
    assert toy.restore(stream.save()).save() == stream.save()
    if not stream.finished:
        stream.accept(levels(4, 4, 0), fields["rate"])
        stream.finish()


@given(data=st.data())
def test_gaps_still_to_be_emitted_lie_within_those_of_the_stream(toy: Recognizer, data: Any) -> None:
    stream = toy.stream(endpoints=True)
    stream.gap(40)
    fields, tensors = unpacked(stream.save())
    gap = st.tuples(st.integers(0, 39), st.integers(1, 10))
    lost, pending = data.draw(st.lists(gap, max_size=6)), data.draw(st.lists(gap, max_size=6))
    fields["lost"], fields["endpoints"]["untold"] = lost, pending
    ordered = all(
        after[0] >= before[0] + before[1] + apart
        for gaps, apart in ((lost, 1), (pending, 0))
        for before, after in pairwise(gaps)
    )
    within = all(first + samples <= 40 for first, samples in lost)
    inside = all(any(a <= c and c + d <= a + b for a, b in lost) for c, d in pending)
    if ordered and within and inside:
        assert len(toy.restore(sealed(fields, tensors)).lost) == len(lost)
    else:
        with pytest.raises(SnapshotError):
            toy.restore(sealed(fields, tensors))


def test_many_gaps_are_checked_and_emitted_in_one_pass(toy: Recognizer) -> None:
    """A check of each against each, or a copy of all for each, would take a minute."""
    stream, count = toy.stream(endpoints=True), 50_000
    stream.gap(2 * count)
    fields, tensors = unpacked(stream.save())
    fields["lost"] = fields["endpoints"]["untold"] = [[2 * number, 1] for number in range(count)]
    resumed = toy.restore(sealed(fields, tensors))
    events = resumed.accept(np.zeros(16_000, np.float32)) + resumed.finish()
    assert sum(isinstance(event, Lost) for event in events) == count
