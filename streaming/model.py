"""A model file, open: ONNX session and metadata, checked against each other before any audio is heard."""

import hashlib
import os
import stat
from collections.abc import Mapping
from importlib.resources import files
from os import PathLike, fspath
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime

from ..errors import ConfigError, ModelError, reason_of
from .arrays import AnyArray, FloatArray
from .graph_file import check_graph_file
from .metadata import AUDIO, EXPORT_AGAIN, LOG_PROBS, NEXT, ModelMetadata

MAX_BLOCK_SECONDS = 4.0
"""Audio in one call of the graph at most: attention takes time and memory quadratic in a call's frames."""

MAX_THREADS = 1024  # of a model's; starting many more takes all memory

MAX_LOG_SUM = 0.01  # that a row of the graph's probabilities may be off 1, for what is rounded in it

MAX_MODEL_BYTES = 2**31  # protobuf's own limit


class Buffer(NamedTuple):
    """Where an array lies in memory."""

    shape: tuple[int, ...]
    address: int


PROVIDERS: dict[str, list[str | tuple[str, dict[str, str]]]] = {
    "cpu": ["CPUExecutionProvider"],
    # TensorFloat-32 keeps 10 bits of mantissa: log-probabilities would not agree with the CPU's to 1e-4.
    "cuda": [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"],
}


def bundled_models() -> tuple[str, ...]:
    """Names of the models inside the package, for `Recognizer(name)`."""
    entries = files("phonestream.models").iterdir()
    return tuple(
        sorted(entry.name.removesuffix(".onnx") for entry in entries if entry.name.endswith(".onnx"))
    )


class Model:
    """An ONNX session whose graph and metadata agree. It never changes, and threads may share it."""

    def __init__(self, model: str | PathLike[str], *, threads: int = 1, provider: str = "cpu") -> None:
        """Open a model file, or a bundled model by its name, and run one frame of silence through it.

        Raises:
            ModelError: no such file or name; not an ONNX file, not a Phonestream model, of another format, or
                with metadata that is incomplete or not the graph's; or a provider that is not there.
            ConfigError: `threads` not from 1 to 1024, or an unknown provider.
        """
        if type(threads) is not int or not 1 <= threads <= MAX_THREADS:
            raise ConfigError(f"threads={threads!r}: expected a whole number from 1 to {MAX_THREADS}")
        if provider not in PROVIDERS:
            raise ConfigError(f"provider={provider!r}: expected one of {', '.join(PROVIDERS)}")
        self.source = fspath(model)
        self.arguments = (origin(model), threads, provider)
        """With which the same model is opened again, from any working directory."""
        data = read_model(model)
        self.sha256 = hashlib.sha256(data).hexdigest()
        try:
            check_graph_file(data)
            self._session = _open(data, threads, provider)
            self.metadata = ModelMetadata.from_map(self._session.get_modelmeta().custom_metadata_map)
            _check_graph(self._session, self.metadata)
        except ModelError as error:
            raise ModelError(f"{self.source}: {error}") from None
        self._outputs = [LOG_PROBS, *(NEXT + spec.name for spec in self.metadata.states)]
        self._check_frame()

    @property
    def block_samples(self) -> int:
        """The most samples that one `run` is given: whole frames."""
        frame = self.metadata.frame_samples
        return max(1, int(MAX_BLOCK_SECONDS * self.metadata.sample_rate) // frame) * frame

    def initial_state(self, batch: int = 1) -> dict[str, FloatArray]:
        """The state of `batch` streams before their first frame."""
        return {spec.name: spec.zeros(batch) for spec in self.metadata.states}

    def run(
        self, audio: FloatArray, state: Mapping[str, FloatArray]
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        """Call the graph: `audio` [batch, samples] to log_probs [batch, rows, phones + 1] and the next state.

        `samples` is a multiple of the frame; the state is not changed.

        Raises:
            ModelError: the model returned NaN or infinity, so that nothing after this call would mean anything.
        """
        log_probs, next_state = self.run_unchecked(audio, state)
        if not np.isfinite(log_probs).all():
            raise self.unusable()
        return log_probs, next_state

    def run_unchecked(
        self, audio: FloatArray, state: Mapping[str, FloatArray]
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        """`run`, but for NaN and infinity, which only the streams must fail that they are in: see `unusable`."""
        log_probs, *next_state = self._session.run(self._outputs, {AUDIO: audio, **state})
        return log_probs, {
            spec.name: tensor for spec, tensor in zip(self.metadata.states, next_state, strict=True)
        }

    def run_into(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer]) -> None:
        """`run_unchecked` from memory to memory: nothing is allocated or copied.

        The buffers are those of `audio` and the states, and of `log_probs` and `next_` and the states' names; they hold
        float32, their shapes fit each other, and none overlaps an output.
        """
        binding = self._session.io_binding()
        for name, (shape, address) in inputs.items():
            binding.bind_input(name, "cpu", 0, np.float32, shape, address)
        for name, (shape, address) in outputs.items():
            binding.bind_output(name, "cpu", 0, np.float32, shape, address)
        self._session.run_with_iobinding(binding)

    def unusable(self) -> ModelError:
        """What is wrong where `log_probs` are not finite: nothing after that call would mean anything."""
        return ModelError(
            f"{self.source}: the model returned NaN or infinity for finite audio: "
            "its weights are unusable, or the state of a restored stream is"
        )

    def _check_frame(self) -> None:
        """What only running the graph shows. It also leaves the session's memory allocated."""
        meta = self.metadata
        for frames, noun in ((1, "one frame"), (2, "two frames")):
            try:
                log_probs, next_state = self.run(
                    np.zeros((1, frames * meta.frame_samples), np.float32), self.initial_state()
                )
            except ModelError:
                raise
            except Exception as error:  # ONNX Runtime's errors have no base class of their own
                raise ModelError(
                    f"{self.source}: the graph cannot run {noun}: {_one_line(error)}; {EXPORT_AGAIN}"
                ) from None
            self._check_output(noun, frames, log_probs, next_state)

    def _check_output(
        self, noun: str, frames: int, log_probs: FloatArray, next_state: Mapping[str, FloatArray]
    ) -> None:
        """Shapes and sums of what `frames` frames gave."""
        meta = self.metadata
        expected: dict[str, tuple[int, ...]] = {
            LOG_PROBS: (1, frames * meta.rows_per_frame, len(meta.phones) + 1)
        }
        expected |= {NEXT + spec.name: spec.sized(1) for spec in meta.states}
        seen: dict[str, AnyArray] = {LOG_PROBS: log_probs}
        seen |= {NEXT + name: tensor for name, tensor in next_state.items()}
        for name, shape in expected.items():
            if seen[name].shape != shape:
                raise ModelError(
                    f"{self.source}: {noun} gives {name!r} of shape {seen[name].shape}, "
                    f"but the metadata says {shape}; {EXPORT_AGAIN}"
                )
        total = np.logaddexp.reduce(log_probs.astype(np.float64), axis=-1)
        if np.abs(total).max() > MAX_LOG_SUM:
            raise ModelError(
                f"{self.source}: rows of {LOG_PROBS!r} are no log-probabilities: their sum is "
                f"e^{total.flat[np.abs(total).argmax()]:.3g}, not 1; let the graph end in a LogSoftmax"
            )


def origin(model: str | PathLike[str]) -> str:
    """A model's name as it is where it is bundled, else the absolute path."""
    return model if isinstance(model, str) and model in bundled_models() else os.path.abspath(model)


def read_model(model: str | PathLike[str]) -> bytes:
    """The bytes of a bundled model or of a file. Read once, so that the hash is of what runs.

    Raises:
        ModelError: there is neither, or it cannot be read.
    """
    if isinstance(model, str) and model in bundled_models():
        return (files("phonestream.models") / f"{model}.onnx").read_bytes()
    path = Path(model)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise ModelError(f"{path}: is a pipe or a device, not a file; save the model into a file first")
        if status.st_size >= MAX_MODEL_BYTES:
            raise ModelError(f"{path}: not an ONNX file (2 GiB or more): give a model's path or name")
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelError(
            f"{path}: no such model file, nor a bundled model (there are: {_bundled()})"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise ModelError(
            f"{fspath(model)}: the model cannot be read: {reason_of(error)}; give a model file, or the name of a "
            f"bundled model (there are: {_bundled()})"
        ) from None


def _bundled() -> str:
    return ", ".join(bundled_models()) or "none"


def _open(data: bytes, threads: int, provider: str) -> onnxruntime.InferenceSession:
    wanted = PROVIDERS[provider]
    name = wanted[0] if isinstance(wanted[0], str) else wanted[0][0]
    if name not in onnxruntime.get_available_providers():
        raise ModelError(
            f"provider {provider!r} needs another build of ONNX Runtime: "
            "pip uninstall onnxruntime && pip install onnxruntime-gpu"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors come as exceptions, too, of which one line is said
    # Threads that spin while they wait take the core from the microphone and from other streams.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(data, options, providers=wanted)
    except Exception as error:  # ONNX Runtime's errors have no base class of their own
        raise ModelError(f"not an ONNX file that can be run: {_one_line(error)}") from None
    if session.get_providers()[0] != name:  # ONNX Runtime falls back to the CPU without an error
        raise ModelError(
            f"provider {provider!r} was asked for and ONNX Runtime took {session.get_providers()[0]}: "
            "check that CUDA and cuDNN of the versions that onnxruntime-gpu names are installed"
        )
    return session


def _check_graph(session: onnxruntime.InferenceSession, metadata: ModelMetadata) -> None:
    """Names, types and shapes of the graph's inputs and outputs against the metadata's."""
    shapes = {spec.name: spec.shape for spec in metadata.states}
    labels = len(metadata.phones) + 1
    inputs = {AUDIO: ("batch", "samples")} | shapes
    outputs = {LOG_PROBS: ("batch", "rows", labels)} | {NEXT + name: shape for name, shape in shapes.items()}
    _check_side("input", inputs, session.get_inputs())
    _check_side("output", outputs, session.get_outputs())


def _check_side(
    side: str,
    expected: Mapping[str, tuple[int | str, ...]],
    nodes: list[onnxruntime.NodeArg],
) -> None:
    seen = {node.name: node for node in nodes}
    if seen.keys() != expected.keys():
        missing, extra = sorted(expected.keys() - seen.keys()), sorted(seen.keys() - expected.keys())
        raise ModelError(
            f"the graph's {side}s are not those that the metadata 'states' names: "
            f"lacking {missing}, surplus {extra}; {EXPORT_AGAIN}"
        )
    for name, shape in expected.items():
        node = seen[name]
        if node.type != "tensor(float)":
            raise ModelError(
                f"the graph's {side} {name!r} is {node.type}, expected tensor(float); {EXPORT_AGAIN}"
            )
        # Where the metadata has a name the graph's size must be open, where it has a number the same or open.
        agree = len(shape) == len(node.shape) and all(
            actual == size
            if isinstance(size, int) and isinstance(actual, int)
            else not isinstance(actual, int)
            for size, actual in zip(shape, node.shape, strict=True)
        )
        if not agree:
            raise ModelError(
                f"the graph's {side} {name!r} has shape {node.shape}, "
                f"but the metadata says {list(shape)}; {EXPORT_AGAIN}"
            )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
