"""A model file is checked completely when it is opened; a refusal names the file, the key and the remedy."""

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_fixture import shipped_model
from onnx import helper
from toy_model import COLUMNS, replaced, summing, toy_graph, toy_metadata, toy_model, without

import phonestream
from phonestream import ConfigError, ModelError, Recognizer
from phonestream.streaming.graph_file import check_graph_file
from phonestream.streaming.metadata import ModelMetadata, StateSpec

KEYS = sorted(toy_metadata().to_map())
SILENCE = {"states": ["late"], "blank_probability": 0.5, "interval_frames": 4, "after_frames": 3}


def refusal(path: Path) -> str:
    """The message with which `path` is refused: one line that names the file."""
    with pytest.raises(ModelError) as caught:
        Recognizer(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_metadata_survives_the_file() -> None:
    metadata = toy_metadata(look_ahead_frames=3, blank=5, time_offset_seconds=-0.05, licence="frei – ü")
    assert ModelMetadata.from_map(metadata.to_map()) == metadata
    with_rule = toy_metadata(silence=summing())
    assert ModelMetadata.from_map(with_rule.to_map()) == with_rule
    for key, value in with_rule.to_map().items():
        assert json.loads(value) is not None, key


def test_keys_of_other_tools_are_ignored() -> None:
    assert ModelMetadata.from_map(toy_metadata().to_map() | {"converter": "not JSON"}) == toy_metadata()


def test_the_shipped_model_says_what_it_is() -> None:
    recognizer = Recognizer(shipped_model())
    assert recognizer.phones == recognizer.metadata.phones
    assert len(recognizer.phones) == 39
    assert recognizer.metadata.sample_rate == 16000
    assert recognizer.metadata.frame_samples == 640


@pytest.mark.parametrize("key", [key for key in KEYS if key not in ("phonestream_format", "silence")])
def test_a_missing_key_is_named(key: str, tmp_path: Path) -> None:
    message = refusal(toy_model(tmp_path / "model.onnx", without(key)))
    assert f"'{key}' is missing" in message
    assert "export the model again" in message


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_is_not_json_is_named(key: str, tmp_path: Path) -> None:
    message = refusal(toy_model(tmp_path / "model.onnx", toy_metadata().to_map() | {key: "{"}))
    assert f"'{key}' is not JSON" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", 3),
        ("name", "half of a character: \ud800"),
        ("version", ""),
        ("licence", None),
        ("training_data", ["LibriSpeech"]),
        ("phones", "ABCDE"),
        ("phones", []),
        ("phones", ["A", "B", "B", "D", "E"]),
        ("phones", ["A", "B", 3, "D", "E"]),
        ("phones", ["A", "B", "C C", "D", "E"]),
        ("phones", ["A", "B", "C\n", "D", "E"]),
        ("phones", ["A", "B", "\x1b[2J", "D", "E"]),
        ("phones", ["A", "B", ["C"], "D", "E"]),
        ("blank", -1),
        ("blank", 6),
        ("blank", 0.0),
        ("blank", False),
        ("sample_rate", 16000.5),
        ("sample_rate", 0),
        ("frame_samples", 0),
        ("frame_samples", "640"),
        ("rows_per_frame", 0),
        ("rows_per_frame", 3),
        ("look_ahead_frames", -1),
        ("look_ahead_frames", 1e9),
        ("look_ahead_frames", 251),  # 10.04 s
        ("time_offset_seconds", "0"),
        ("time_offset_seconds", float("nan")),
        ("time_offset_seconds", -0.13),  # look-ahead and row are 0.12 s
        ("time_offset_seconds", 60),  # no error of units
        ("temperature", 0),
        ("temperature", float("inf")),
        ("states", {"late": ["batch", 1280]}),
        ("states", ["late"]),
        ("states", [{"name": "late"}]),
        ("states", [{"name": "late", "shape": 1280}]),
        ("states", [{"name": "late", "shape": [1, 1280]}]),
        ("states", [{"name": "late", "shape": ["batch", "batch"]}]),
        ("states", [{"name": "late", "shape": ["batch", "samples"]}]),
        ("states", [{"name": "late", "shape": ["batch", 0]}]),
        ("states", [{"name": "audio", "shape": ["batch", 1280]}]),
        ("states", [{"name": "late", "shape": ["batch", 1280]}] * 2),
        ("silence", True),
        ("silence", {}),
        ("silence", {"states": ["late"]}),
        ("silence", SILENCE | {"states": []}),
        ("silence", SILENCE | {"states": "late"}),
        ("silence", SILENCE | {"states": ["s0"]}),
        ("silence", SILENCE | {"states": ["late", "late"]}),
        ("silence", SILENCE | {"fading_heads": -1}),
        ("silence", SILENCE | {"fading_heads": 1.0}),
        ("silence", SILENCE | {"fading_heads": 5000}),  # more than its state has
        ("silence", SILENCE | {"states": [["late"]]}),
        ("silence", SILENCE | {"blank_probability": 1}),
        ("silence", SILENCE | {"blank_probability": "0.5"}),
        ("silence", SILENCE | {"interval_frames": 0}),
        ("silence", SILENCE | {"interval_frames": 4.0}),
        ("silence", SILENCE | {"after_frames": -1}),
        ("silence", SILENCE | {"more": 1}),
    ],
)
def test_a_value_that_cannot_be_is_named(key: str, value: Any, tmp_path: Path) -> None:
    message = refusal(toy_model(tmp_path / "model.onnx", replaced(key, value)))
    assert f"'{key}' must be" in message
    assert "export the model again" in message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(key=st.sampled_from(KEYS), value=json_values)
def test_whatever_stands_in_a_key_is_accepted_or_refused(key: str, value: Any) -> None:
    try:
        ModelMetadata.from_map(replaced(key, value))
    except ModelError as error:
        assert key in str(error)  # noqa: PT017 - most values are refused, but not all


@pytest.mark.parametrize("version", [2, 0, "1", None, 1.0, True])
def test_another_format_is_refused(version: Any, tmp_path: Path) -> None:
    message = refusal(toy_model(tmp_path / "model.onnx", replaced("phonestream_format", version)))
    assert "'phonestream_format' is" in message
    assert "reads 1" in message


def test_a_model_of_something_else_is_refused(tmp_path: Path) -> None:
    message = refusal(toy_model(tmp_path / "model.onnx", {"task": "cats"}))
    assert "not a Phonestream model" in message


@pytest.mark.parametrize("content", [b"", b"RIFF" + bytes(100), b"\x08\x07" + bytes(50)])
def test_a_file_that_is_no_onnx_is_refused(content: bytes, tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert "not an ONNX file" in refusal(path)
    assert capfd.readouterr() == ("", "")


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(shipped_model().read_bytes()[:-1000])
    assert "not an ONNX file" in refusal(path)


def test_a_missing_file_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    message = refusal(tmp_path / "none.onnx")
    assert "no such model file" in message
    assert all(name in message for name in phonestream.bundled_models())


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path)


GRAPH_CHANGES = {
    "surplus state": {"states": (StateSpec("late", ("batch", 1280)), StateSpec("other", ("batch", 1)))},
    "no state": {"states": ()},
    "another name": {"states": (StateSpec("tail", ("batch", 1280)),)},
    "another size": {"states": (StateSpec("late", ("batch", 1281)),)},
    "another rank": {"states": (StateSpec("late", ("batch", 2, 640)),)},
    "another order": {"states": (StateSpec("late", (1280, "batch")),)},
    "more phones": {"phones": ("A", "B", "C", "D", "E", "F")},
    "more rows": {"rows_per_frame": 2},
}


def test_a_frame_that_the_graph_cannot_run_is_told_once(tmp_path: Path, capfd: Any) -> None:
    """ONNX Runtime's own line of log would come before ours."""
    path = toy_model(tmp_path / "model.onnx", replaced("frame_samples", 641))
    assert "cannot run one frame" in refusal(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("changes", GRAPH_CHANGES.values(), ids=GRAPH_CHANGES.keys())
def test_metadata_that_are_not_the_graphs_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    told = replace(toy_metadata(), **changes)
    message = refusal(toy_model(tmp_path / "model.onnx", told.to_map()))
    assert "metadata" in message
    assert "export the model again" in message


def save_graph(path: Path, graph: onnx.GraphProto) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, toy_metadata().to_map())
    onnx.save(model, path)
    return path


def test_a_graph_of_one_fixed_length_is_refused(tmp_path: Path) -> None:
    graph = toy_graph(toy_metadata())
    graph.input[0].type.tensor_type.shape.dim[1].dim_value = 640
    assert "'audio' has shape" in refusal(save_graph(tmp_path / "model.onnx", graph))


def test_a_graph_of_another_type_is_refused(tmp_path: Path) -> None:
    graph = toy_graph(toy_metadata())
    for value in [*graph.input, *graph.output]:
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    for constant in graph.initializer:
        if constant.data_type == onnx.TensorProto.FLOAT:
            array = onnx.numpy_helper.to_array(constant).astype("float16")
            constant.CopyFrom(onnx.numpy_helper.from_array(array, constant.name))
    assert "float16" in refusal(save_graph(tmp_path / "model.onnx", graph))


def test_a_model_that_hears_nan_in_silence_is_refused(tmp_path: Path) -> None:
    graph = toy_graph(toy_metadata(), scale=float("nan"))
    assert "NaN" in refusal(save_graph(tmp_path / "model.onnx", graph))


def test_a_graph_that_gives_logits_is_refused(tmp_path: Path) -> None:
    graph = toy_graph(toy_metadata())
    (last,) = (node for node in graph.node if node.op_type == "LogSoftmax")
    last.op_type = "Sin"
    del last.attribute[:]
    assert "no log-probabilities" in refusal(save_graph(tmp_path / "model.onnx", graph))


def test_a_graph_that_gives_as_many_rows_for_any_audio_is_refused(tmp_path: Path) -> None:
    graph = toy_graph(toy_metadata())
    (now,) = (node for node in graph.node if node.output[0] == "now")
    framed = next(node for node in graph.node if node.input[0] == "now")
    framed.input[0] = "first"
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([640], np.int64), "frame"))
    graph.node.insert(
        [*graph.node].index(now) + 1, helper.make_node("Slice", ["now", "begin", "frame", "time"], ["first"])
    )
    assert "two frames gives 'log_probs'" in refusal(save_graph(tmp_path / "model.onnx", graph))


@pytest.mark.parametrize(("key", "value"), [("look_ahead_frames", 5), ("rows_per_frame", 4)])
def test_what_export_wrote_twice_must_agree(key: str, value: int) -> None:
    metadata = dict(onnx_metadata(shipped_model()))
    assert ModelMetadata.from_map(metadata).look_ahead_frames == 4
    with pytest.raises(ModelError, match=f"metadata '{key}' is {value}, and . in 'encoder'; export"):
        ModelMetadata.from_map(metadata | {key: json.dumps(value)})
    for damaged in ("{", "[]", "3"):
        ModelMetadata.from_map(metadata | {"encoder": damaged, key: json.dumps(value)})


def onnx_metadata(path: Path) -> list[tuple[str, str]]:
    return [(entry.key, entry.value) for entry in onnx.load(path).metadata_props]


def test_weights_in_another_file_are_refused_wherever_they_are_named(tmp_path: Path) -> None:
    path = toy_model(tmp_path / "toy.onnx")
    model = onnx.load(path)
    outside = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="weights.bin")
    (tmp_path / "weights.bin").write_bytes(bytes(4))
    inner = onnx.GraphProto(name="inner", initializer=[outside])
    constant = helper.make_node("Constant", [], ["c"], value=outside)
    places = [
        ("graph.initializer", lambda changed: changed.graph.initializer.append(outside)),
        (
            "attribute",
            lambda changed: changed.graph.node.append(constant),
        ),
        (
            "subgraph",
            lambda changed: changed.graph.node[0].attribute.append(helper.make_attribute("body", inner)),
        ),
    ]
    for _, put in places:
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        put(changed)
        path.write_bytes(changed.SerializeToString())
        assert "weights in another file" in refusal(path)


def test_a_graph_that_repeats_is_refused(tmp_path: Path) -> None:
    path = toy_model(tmp_path / "toy.onnx")
    model = onnx.load(path)
    model.graph.node.append(onnx.NodeProto(op_type="Loop", name="endless"))
    path.write_bytes(model.SerializeToString())
    assert "Loop" in refusal(path)


def test_a_model_that_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "pipe" in refusal(tmp_path / "pipe.onnx")


@given(st.binary(max_size=200))
def test_any_bytes_are_looked_through(data: bytes) -> None:
    with suppress(ModelError):
        check_graph_file(data)


def test_cuda_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ModelError, match="pip uninstall onnxruntime && pip install onnxruntime-gpu"):
        Recognizer(shipped_model(), provider="cuda")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_silent_fall_back_to_the_cpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a broken CUDA, ONNX Runtime goes on without it."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda _: ["CPUExecutionProvider"])
    with pytest.raises(ModelError, match="took CPUExecutionProvider"):
        Recognizer(shipped_model(), provider="cuda")


@pytest.mark.parametrize("arguments", [{"threads": 0}, {"threads": 1.5}, {"provider": "tpu"}])
def test_arguments_that_cannot_be_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        Recognizer(shipped_model(), **arguments)


def test_states_are_sized_by_the_batch_wherever_it_stands() -> None:
    spec = StateSpec("s", (2, "batch", 3))
    assert spec.batch_axis == 1
    assert spec.zeros(5).shape == (2, 5, 3)
    assert not spec.zeros(5).any()


def test_the_decoder_leaves_out_the_blanks_column() -> None:
    assert toy_metadata(blank=2).decoder.symbols == ("A", "B", "", "C", "D", "E")
    assert len(toy_metadata().decoder.symbols) == COLUMNS
