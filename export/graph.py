"""Torch to ONNX: the encoder's streaming step as a graph that takes audio, state and every weight as inputs.

Weights are inputs while the graph is traced and simplified, so that no optimiser can fold, merge, transpose or rename
one: `weights.fill` then puts the numbers in, as float32 or as int8, under the names of the encoder's `state_dict`.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.func import functional_call

from ..asr.model.config import EncoderConfig
from ..asr.model.encoder import FRAME, Encoder, check_streams
from ..errors import ModelError
from ..streaming.metadata import AUDIO, BATCH, LOG_PROBS, NEXT
from .bases import write_as_formula

OPSET = 18  # the lowest that torch's exporter writes; ONNX Runtime reads it since 1.14
IR_VERSION = 10  # of the file format; ONNX Runtime reads it since 1.18
SAMPLES, ROWS = "samples", "rows"  # names of open sizes
# Sizes that the tracer sees; neither is 1, which it would take for a constant
SHOWN_BATCH, SHOWN_FRAMES = 2, 5


class _Step(nn.Module):
    """One streaming step as a function of tensors alone: audio, state, weights to log-probabilities, next state."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.states = list(encoder.initial_state(1))
        self.weights = list(encoder.state_dict())

    def forward(self, audio: Tensor, state: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, ...]:
        named = dict(zip(self.weights, weights, strict=True))
        carried = dict(zip(self.states, state, strict=True))
        for tensor in state:
            torch._check(tensor.shape[0] == audio.shape[0])  # type: ignore[no-untyped-call]
        log_probs, after = functional_call(self.encoder, named, (audio, carried))
        return log_probs, *(after[name] for name in self.states)


@cache
def trace(config: EncoderConfig) -> onnx.ModelProto:
    """The graph of one step of any number of frames for any number of streams.

    It takes torch a minute for the default configuration. The result is kept for the next call: do not change it.

    Returns:
        A model with the inputs `audio`, the states, and every entry of the encoder's `state_dict()`; and the outputs
        `log_probs` and `next_<state>`.

    Raises:
        ConfigError: the attention cannot stream.
        ModelError: torch cannot express this encoder in ONNX.
        ModuleNotFoundError: onnxscript is not installed.
    """
    # Not above: training need not wait seconds for them.
    import onnxscript  # noqa: F401  torch's exporter needs it
    from torch._dynamo import config as dynamo

    with torch.random.fork_rng(devices=[]):  # the random weights drawn here have no part in the graph
        encoder = Encoder(config)
    check_streams(encoder)
    encoder = encoder.eval().requires_grad_(False)
    encoder.flat = True
    encoder.backend = "quadratic"  # of all forms the one with the fewest operations, for any number of frames
    step = _Step(encoder).eval()
    state = list(encoder.initial_state(SHOWN_BATCH).values())
    weights = list(encoder.state_dict().values())
    batch, frames = Dim("batch"), Dim("frames")
    # torch remembers what it works out of shapes; with open sizes that takes longer than working it out again.
    with _quiet(), dynamo.patch(fake_tensor_cache_enabled=False):
        try:
            program = torch.onnx.export(
                step,
                (torch.zeros(SHOWN_BATCH, SHOWN_FRAMES * FRAME), state, weights),
                dynamo=True,
                opset_version=OPSET,
                input_names=[AUDIO, *step.states, *step.weights],
                output_names=[LOG_PROBS, *(NEXT + name for name in step.states)],
                dynamic_shapes=(
                    {0: batch, 1: FRAME * frames},
                    [{0: batch} for _ in state],
                    [None for _ in weights],
                ),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ModelError(f"torch cannot write this encoder as ONNX: {_cause(error)}") from error
    if program is None:
        raise ModelError("torch cannot write this encoder as ONNX: its exporter returned nothing")
    model = program.model_proto
    model.ir_version = IR_VERSION
    _name_sizes(model)
    _strip(model)
    write_as_formula(model, encoder.frontend.bases)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own internals: they tell a user nothing to act on."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _cause(error: BaseException) -> str:
    """The first line of what is at the bottom of an exporter's error, whose own text is a page of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _name_sizes(model: onnx.ModelProto) -> None:
    """Give open sizes the names of the format's description in place of the tracer's."""
    for value in (*model.graph.input, *model.graph.output):
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            if size.HasField("dim_param"):
                later = {AUDIO: SAMPLES, LOG_PROBS: ROWS}.get(value.name, size.dim_param)
                size.dim_param = BATCH if axis == 0 else later


def _strip(model: onnx.ModelProto) -> None:
    """Take out what the tracer notes down about source files of the machine it ran on, and shapes anyone can infer."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    del graph.value_info[:]
    graph.name = "phonestream"
