"""A model whose phones are known in advance: it hears how loud the audio is, and says that phone.

A row's column is 100 times the mean of its samples. Like a real model it is late by its look-ahead, through a
state that holds the samples of the last frames. With a rule on silence (`summing`) it has a sum over the past as well,
`s0`, which every row adds to and which moves its level a little: rows are the same where sums are.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from phonestream.streaming.metadata import ModelMetadata, StateSpec
from phonestream.streaming.silence import SilenceRule

FRAME = 640
COLUMNS = 6


def toy_metadata(**changes: Any) -> ModelMetadata:
    fields: dict[str, Any] = {
        "name": "toy",
        "version": "1",
        "licence": "Apache-2.0",
        "training_data": "none",
        "phones": ("A", "B", "C", "D", "E"),
        "blank": 0,
        "sample_rate": 16000,
        "frame_samples": FRAME,
        "rows_per_frame": 1,
        "look_ahead_frames": 2,
        "time_offset_seconds": 0.0,
        "temperature": 1.0,
    } | changes
    late = fields["look_ahead_frames"] * FRAME
    states = (StateSpec("late", ("batch", late)),) if late else ()
    if fields.get("silence"):
        states = (*states, StateSpec("s0", ("batch", 1)))
    fields.setdefault("states", states)
    return ModelMetadata(**fields)


def summing(**changes: Any) -> SilenceRule:
    """A rule for `toy_metadata(silence=…)`, with short intervals."""
    values: dict[str, Any] = {"states": ("s0",), "interval_frames": 4, "after_frames": 3} | changes
    return SilenceRule(**values)


def toy_model(path: Path, metadata: dict[str, str] | None = None, **changes: Any) -> Path:
    """Write the model with `changes` to `toy_metadata` to `path`, or with raw `metadata` in its place."""
    meta = toy_metadata(**changes)
    graph = toy_graph(meta)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, meta.to_map() if metadata is None else metadata)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def without(key: str) -> dict[str, str]:
    """The toy's metadata lacking `key`."""
    return {name: value for name, value in toy_metadata().to_map().items() if name != key}


def replaced(key: str, value: Any) -> dict[str, str]:
    """The toy's metadata with another value for `key`."""
    return toy_metadata().to_map() | {key: json.dumps(value)}


def toy_graph(meta: ModelMetadata, scale: float = 100.0) -> onnx.GraphProto:
    late = meta.look_ahead_frames * FRAME
    sums = meta.silence is not None
    constants: dict[str, np.ndarray] = {
        "row": np.array([0, -1, FRAME // meta.rows_per_frame], np.int64),
        "axis": np.array([2], np.int64),
        "scale": np.array(scale, np.float32),
        "centres": np.arange(COLUMNS, dtype=np.float32),
        "sharpness": np.array(-20, np.float32),
        "begin": np.array([0], np.int64),
        "minus": np.array([-late], np.int64),
        "end": np.array([2**31], np.int64),
        "time": np.array([1], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Reshape", ["now", "row"], ["framed"]),
        node("ReduceMean", ["framed", "axis"], ["mean"]),
        node("Mul", ["mean", "scale"], ["own" if sums else "level"]),
        node("Sub", ["level", "centres"], ["distance"]),
        node("Mul", ["distance", "distance"], ["square"]),
        node("Mul", ["square", "sharpness"], ["logits"]),
        node("LogSoftmax", ["logits"], ["log_probs"], axis=-1),
    ]
    if sums:  # level = own + 0.3 sin(s0), s0 of each row being that before and 0.4 + own more
        constants |= {
            "least": np.array(0.4, np.float32),
            "share": np.array(0.3, np.float32),
            "last": np.array([-1], np.int64),
            "row_of_one": np.array([-1, 1], np.int64),
        }
        nodes[3:3] = [
            node("Add", ["own", "least"], ["addend"]),
            node("Unsqueeze", ["s0", "last"], ["before"]),
            node("Concat", ["before", "addend"], ["addends"], axis=1),
            node("CumSum", ["addends", "time"], ["totals"]),
            node("Slice", ["totals", "time", "end", "time"], ["total"]),
            node("Slice", ["totals", "last", "end", "time"], ["final"]),
            node("Reshape", ["final", "row_of_one"], ["next_s0"]),
            node("Sin", ["total"], ["wave"]),
            node("Mul", ["wave", "share"], ["moved"]),
            node("Add", ["own", "moved"], ["level"]),
        ]
    if late:
        nodes = [
            node("Concat", ["late", "audio"], ["heard"], axis=1),
            node("Slice", ["heard", "begin", "minus", "time"], ["now"]),
            node("Slice", ["heard", "minus", "end", "time"], ["next_late"]),
            *nodes,
        ]
    else:
        nodes = [node("Identity", ["audio"], ["now"]), *nodes]

    def value(name: str, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    inputs = [value("audio", "batch", "samples")] + ([value("late", "batch", late)] if late else [])
    outputs = [value("log_probs", "batch", "rows", COLUMNS)]
    outputs += [value("next_late", "batch", late)] if late else []
    if sums:
        inputs.append(value("s0", "batch", 1))
        outputs.append(value("next_s0", "batch", 1))
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    return helper.make_graph(nodes, "toy", inputs, outputs, initializers)


def levels(*columns: int, samples: int = FRAME) -> np.ndarray:
    """Audio in which the toy hears these columns, `samples` of each."""
    return np.repeat(np.array(columns, np.float32) / 100, samples)


def sideways_model(path: Path) -> Path:
    """The toy with its state turned: the batch is the second axis."""
    spec = StateSpec("side", (2 * FRAME, "batch"))
    meta = toy_metadata(states=(spec,))
    graph = toy_graph(meta)
    turned = {"late": "side", "next_late": "next_side"}
    for values in (graph.input, graph.output):
        kept = [value for value in values if value.name not in turned]
        sides = [turned[value.name] for value in values if value.name in turned]
        del values[:]
        values.extend(kept)
        values.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, spec.shape) for name in sides)
    graph.node.insert(0, helper.make_node("Transpose", ["side"], ["late"], perm=[1, 0]))
    graph.node.append(helper.make_node("Transpose", ["next_late"], ["next_side"], perm=[1, 0]))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, meta.to_map())
    onnx.save(model, path)
    return path
