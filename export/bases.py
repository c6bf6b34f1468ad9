"""The front end's cosines and sines as a formula: ONNX Runtime computes them once, when it loads the file.

As numbers they would be 0.8 MB of every model file; as a table of one turn and three short vectors they are 12 kB.
"""

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from ..asr.model.frontend import TO_SINE, TURN, HalfBases

TABLE, ODD, BINS, WINDOW, STEPS, ONE_TURN, QUARTER = (
    f"frontend.{name}" for name in ("table", "odd", "bins", "window", "steps", "turn", "to_sine")
)


def write_as_formula(model: onnx.ModelProto, bases: HalfBases) -> None:
    """Replace the two constants of a traced graph that hold `bases` by the operations that make them.

    Raises:
        ValueError: the graph has no such constants.
    """
    graph = model.graph
    cosines, sines = (_take(graph, values) for values in (bases.cosines(), bases.sines()))
    for name, part in (
        (TABLE, bases.table),
        (ODD, bases.odd),
        (BINS, bases.bins),
        (WINDOW, bases.window),
        (ONE_TURN, torch.tensor(TURN)),
        (QUARTER, torch.tensor(TO_SINE)),
    ):
        graph.initializer.append(numpy_helper.from_array(part.numpy(), name))
    nodes = [
        helper.make_node("Mul", [ODD, BINS], [STEPS], STEPS),
        *_looked_up(STEPS, cosines),
        helper.make_node("Add", [STEPS, QUARTER], [f"{sines}.steps"], f"{sines}.steps"),
        *_looked_up(f"{sines}.steps", sines),
        *graph.node,
    ]
    del graph.node[:]
    graph.node.extend(nodes)


def _looked_up(steps: str, name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Mod", [steps, ONE_TURN], [f"{name}.index"], f"{name}.index"),
        helper.make_node("Gather", [TABLE, f"{name}.index"], [f"{name}.plain"], f"{name}.plain"),
        helper.make_node("Mul", [WINDOW, f"{name}.plain"], [name], name),
    ]


def _take(graph: onnx.GraphProto, values: Tensor) -> str:
    """Remove the constant that has these values, and return its name."""
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.DOUBLE or list(tensor.dims) != list(values.shape):
            continue
        if (numpy_helper.to_array(tensor) == values.numpy()).all():
            graph.initializer.remove(tensor)
            return str(tensor.name)
    raise ValueError("the graph does not have the front end's cosines and sines as constants")
