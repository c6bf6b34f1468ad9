"""What a live chunk pays for its weights: a chain of products of as many as the bundled model has, in several forms.

    python benchmarks/weights.py

A chunk of 40 ms is one row, and each product reads its matrix from memory anew. The forms, all from the same int8
weights with a scale for each column:

    float32      made once, when the graph is loaded: what ONNX Runtime does with the bundled file
    cast         made for each product
    dequantised  the same with DequantizeLinear
    fused        DequantizeLinear within the product (MatMulNBits), which also rounds what the weights multiply

The forms take turns. The error is the largest from float32, over the largest result. Prints Markdown.
"""

import argparse
import statistics
import time

import numpy as np
import onnxruntime
import tables
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SHAPES = [(192, 768), (768, 192)] * 12  # 3.5 million weights
ROWS = (1, 16, 100)  # of 40 ms
FUSION, FOLDING = "QDQSelectorActionTransformer", "ConstantFolding"
OFF = {"float32": [], "cast": [FOLDING], "dequantised": [FUSION, FOLDING], "fused": [FOLDING]}
"""For each form, ONNX Runtime's optimisations that would make another of it."""


def session(form: str) -> onnxruntime.InferenceSession:
    """The chain, on one thread."""
    rng = np.random.default_rng(0)
    nodes, constants, last = [], [], "input"
    for index, shape in enumerate(SHAPES):
        weights, scales, matrix, product = (f"{name}{index}" for name in ("w", "s", "m", "p"))
        constants.append(numpy_helper.from_array(rng.integers(-127, 128, shape, np.int8), weights))
        scale = np.full(shape[1], 0.5 / 127 / np.sqrt(shape[0] / 12), np.float32)
        constants.append(numpy_helper.from_array(scale, scales))
        if form in ("float32", "cast"):
            nodes.append(helper.make_node("Cast", [weights], [matrix], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("MatMul", [last, matrix], [product]))
            last = f"scaled{index}"
            nodes.append(helper.make_node("Mul", [product, scales], [last]))
        else:
            nodes.append(helper.make_node("DequantizeLinear", [weights, scales], [matrix], axis=1))
            nodes.append(helper.make_node("MatMul", [last, matrix], [product]))
            last = product
    sides = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 192]) for name in ("input", last)
    ]
    graph = helper.make_graph(nodes, "chain", sides[:1], sides[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"], disabled_optimizers=OFF[form]
    )


def timed(chain: onnxruntime.InferenceSession, rows: NDArray[np.float32]) -> float:
    begin = time.perf_counter()
    chain.run(None, {"input": rows})
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=60)
    tables.add_option(parser)
    options = parser.parse_args()

    chains = {form: session(form) for form in OFF}
    report = tables.Report(options)
    report.note(f"Medians of {options.rounds} rounds.")
    times_of = ((f"{form}, ms", ".2f") for form in chains)
    table = report.table(("rows", ""), *times_of, *((f"error, {form}", ".1e") for form in chains))
    for count in ROWS:
        rows = np.random.default_rng(1).normal(size=(count, 192)).astype(np.float32)
        results = {form: chain.run(None, {"input": rows})[0] for form, chain in chains.items()}
        exact = results["float32"]
        errors = [float(abs(found - exact).max() / abs(exact).max()) for found in results.values()]
        spent: dict[str, list[float]] = {form: [] for form in chains}
        for _ in range(options.rounds):
            for form, chain in chains.items():
                spent[form].append(timed(chain, rows))
        table.add(count, *(1000 * statistics.median(times) for times in spent.values()), *errors)
    report.save()


if __name__ == "__main__":
    main()
