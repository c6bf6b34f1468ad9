"""Weights into a traced graph, float32 or int8, and back out of a model file: for a warm start, or to go on in torch.

A float32 weight is an initialiser under the name that it has in the encoder's `state_dict`. An int8 weight is two,
`<name>.int8` and `<name>.int8.scale`, and a Cast and a Mul whose product has the weight's name. ONNX Runtime folds both
once, when it loads the file; a DequantizeLinear it would run at every call.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from ..asr.model.config import EncoderConfig, from_dict
from ..asr.model.encoder import Encoder
from ..errors import ConfigError, ModelError, reason_of
from ..streaming.metadata import ENCODER_KEY, ModelMetadata
from ..streaming.model import MAX_MODEL_BYTES
from ..text_file import read_whole
from .quantise import Int8, to_float32

LEVELS, SCALE = ".int8", ".int8.scale"


def fill(graph: onnx.ModelProto, weights: Mapping[str, Tensor | Int8]) -> onnx.ModelProto:
    """A copy of the model that `graph.trace` made, with `weights` as constants in place of inputs.

    Raises:
        ValueError: the graph's inputs do not include a weight.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    inputs = [value for value in model.graph.input if value.name not in weights]
    missing = weights.keys() - {value.name for value in model.graph.input}
    if missing:
        raise ValueError(f"the graph has no input for the weights {sorted(missing)}: trace this encoder")
    del model.graph.input[:]
    model.graph.input.extend(inputs)

    unpacking = []
    for name, weight in weights.items():
        if isinstance(weight, Int8):
            model.graph.initializer.append(_tensor(weight.levels, name + LEVELS))
            model.graph.initializer.append(_tensor(weight.scale, name + SCALE))
            cast = f"{name}.float"
            unpacking.append(helper.make_node("Cast", [name + LEVELS], [cast], cast, to=TensorProto.FLOAT))
            unpacking.append(helper.make_node("Mul", [cast, name + SCALE], [name], name))
        else:
            model.graph.initializer.append(_tensor(weight, name))
    nodes = [*unpacking, *model.graph.node]  # before whatever uses them, as ONNX demands
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def read_weights(path: Path) -> dict[str, Tensor]:
    """The `state_dict` of a model file's encoder, float32; int8 weights are those that the file computes with.

    Raises:
        ModelError: no such file, not a model that `phonestream export` wrote, or a weight missing or misshapen.
    """
    weights: dict[str, Tensor] = read_encoder(path).state_dict()
    return weights


def read_encoder(path: Path) -> Encoder:
    """The encoder of a model file, in evaluation mode.

    Raises:
        ModelError: see `read_weights`.
    """
    return read_model_file(path).encoder


class ModelFile(NamedTuple):
    """All that a model file has but its graph."""

    encoder: Encoder  # in evaluation mode
    weights: dict[str, Tensor | Int8]  # its `state_dict`, int8 where the file has int8
    metadata: dict[str, str]


def read_model_file(path: Path) -> ModelFile:
    """What a new graph needs to take the place of the file's.

    Raises:
        ModelError: see `read_weights`.
    """
    model = _load(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    try:
        ModelMetadata.from_map(metadata)
        if ENCODER_KEY not in metadata:
            raise ModelError(
                f"metadata {ENCODER_KEY!r} is missing: export the model again with `phonestream export`"
            )
        encoder = Encoder(from_dict(EncoderConfig, json.loads(metadata[ENCODER_KEY])))
        found = {tensor.name: tensor for tensor in model.graph.initializer}
        weights = {name: _weight(found, name, own) for name, own in encoder.state_dict().items()}
        encoder.load_state_dict({name: to_float32(weight) for name, weight in weights.items()})
    except (ModelError, ConfigError) as error:
        raise ModelError(f"{path}: {error}") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"{path}: metadata {ENCODER_KEY!r} is damaged ({error}): export the model again with `phonestream export`"
        ) from None
    return ModelFile(encoder.eval(), weights, metadata)


def _weight(found: Mapping[str, TensorProto], name: str, own: Tensor) -> Tensor | Int8:
    weight: Tensor | Int8
    if name in found:
        weight = _values(found[name], np.float32)
    elif name + LEVELS in found and name + SCALE in found:
        weight = Int8(_values(found[name + LEVELS], np.int8), _values(found[name + SCALE], np.float32))
    else:
        raise ModelError(f"the weight {name} is missing: export the model again with `phonestream export`")
    shape = to_float32(weight).shape
    if shape != own.shape:
        raise ModelError(
            f"the weight {name} is {list(shape)}, but its configuration says {list(own.shape)}: "
            "export the model again with `phonestream export`"
        )
    return weight


def _values(tensor: TensorProto, dtype: type[np.generic]) -> Tensor:
    try:
        values = numpy_helper.to_array(tensor)
    except Exception as error:  # onnx raises many kinds on damaged tensors
        raise ModelError(f"the tensor {tensor.name} is damaged ({' '.join(str(error).split())})") from None
    if values.dtype != dtype:
        raise ModelError(f"the tensor {tensor.name} is {values.dtype}, expected {np.dtype(dtype)}")
    return torch.from_numpy(values.copy())  # onnx's array is read-only


def _load(path: Path) -> onnx.ModelProto:
    try:
        with path.open("rb") as file:
            content = read_whole(file, MAX_MODEL_BYTES)
        return onnx.load_from_string(content)
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read: {reason_of(error)}; give the path of a model file"
        ) from None
    except Exception:  # protobuf's own, which only onnx depends on
        raise ModelError(f"{path}: not an ONNX file: models are made by `phonestream export`") from None


def _tensor(values: Tensor, name: str) -> TensorProto:
    return numpy_helper.from_array(values.detach().cpu().contiguous().numpy(), name)
