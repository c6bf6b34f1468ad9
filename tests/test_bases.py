"""The formula that stands in a model file for the front end's cosines and sines gives them to the last bit."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from phonestream.asr.model.frontend import HalfBases, LogMel
from phonestream.export.bases import write_as_formula


@pytest.fixture
def bases() -> HalfBases:
    return LogMel().bases


@pytest.fixture
def model(bases: HalfBases) -> onnx.ModelProto:
    """A graph that gives out what it holds as constants."""
    parts = {"cosines": bases.cosines(), "sines": bases.sines()}
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"same_{name}"]) for name in parts],
        "constants",
        [],
        [
            helper.make_tensor_value_info(f"same_{name}", TensorProto.DOUBLE, list(values.shape))
            for name, values in parts.items()
        ],
        [numpy_helper.from_array(values.numpy(), name) for name, values in parts.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_the_formula_is_short_and_exact(model: onnx.ModelProto, bases: HalfBases) -> None:
    write_as_formula(model, bases)
    onnx.checker.check_model(model, full_check=True)
    assert model.ByteSize() < 16_000
    session = onnxruntime.InferenceSession(model.SerializeToString())
    cosines, sines = session.run(None, {})
    assert np.array_equal(cosines, bases.cosines().numpy())
    assert np.array_equal(sines, bases.sines().numpy())


def test_the_table_is_the_functions(bases: HalfBases) -> None:
    angle = np.pi * bases.odd.numpy() * bases.bins.numpy() / 512
    window = bases.window.numpy()
    np.testing.assert_allclose(bases.cosines().numpy(), window * np.cos(angle), atol=1e-8)
    np.testing.assert_allclose(bases.sines().numpy(), window * np.sin(angle), atol=1e-8)


def test_a_graph_without_them_is_refused(model: onnx.ModelProto, bases: HalfBases) -> None:
    write_as_formula(model, bases)
    with pytest.raises(ValueError, match="cosines and sines"):
        write_as_formula(model, bases)
