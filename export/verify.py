"""Proof that a model file computes what the torch encoder computes, however audio is cut into chunks and batches."""

from collections.abc import Iterator, Sequence
from copy import deepcopy

import numpy as np
import onnxruntime
import torch

from ..asr.model.encoder import FRAME, Encoder
from ..errors import ModelError
from ..streaming.arrays import FloatArray
from ..streaming.metadata import AUDIO, LOG_PROBS, NEXT

TOLERANCE = 1e-4  # of a log-probability; of a state, relative to the largest value in its tensor
# Below it, rounding is allowed to show: such a label can neither win nor move a confidence
LOWEST_LOG_PROB = -15.0
STREAMS, FRAMES = 3, 75  # of the audio compared
# Frames of a call, over and over
CHUNKINGS: tuple[tuple[int, ...], ...] = ((FRAMES,), (1,), (2, 7, 1, 16), (40, 35))


def verify(encoder: Encoder, model: bytes) -> float:
    """Compare a model file with the encoder that it was made from.

    Torch runs the training form of the attention over the whole recording at once; ONNX Runtime runs the file over
    every one of `CHUNKINGS` with its state carried from call to call, the streams in one batch and each by itself.

    Args:
        encoder: holds the weights that the file holds (`quantise.rounded`, for int8).
        model: the file's bytes.

    Returns:
        The largest difference of a log-probability above `LOWEST_LOG_PROB`.

    Raises:
        ModelError: ONNX Runtime cannot run the file, or a difference is above `TOLERANCE`.
    """
    session = _session(model)
    audio = swelling_noise()
    expected, expected_state = _torch(encoder, audio)
    names = list(encoder.initial_state(1))
    largest = 0.0
    for streams in (list(range(STREAMS)), *([stream] for stream in range(STREAMS))):
        for chunking in CHUNKINGS:
            where = f"for {len(streams)} streams in chunks of {', '.join(map(str, chunking))} frames"
            state = {name: np.zeros_like(expected_state[name][streams]) for name in names}
            log_probs, state = _onnx(session, audio[streams], state, chunking, where)
            worst = _difference(log_probs, expected[streams])
            largest = max(largest, worst)
            if not worst <= TOLERANCE:  # not `worst > TOLERANCE`, which a NaN is not
                raise ModelError(
                    f"the ONNX file does not agree with torch {where}: log-probabilities differ by {worst:.2g}, "
                    f"at most {TOLERANCE} is allowed; no file was written"
                )
            for name in names:
                reference = expected_state[name][streams]
                allowed = TOLERANCE * max(1.0, float(np.abs(reference).max()))
                apart = float(np.abs(state[name] - reference).max())
                if not apart <= allowed:
                    raise ModelError(
                        f"the ONNX file does not agree with torch {where}: the state {name} differs by {apart:.2g}, "
                        f"at most {allowed:.2g} is allowed; no file was written"
                    )
    return largest


def swelling_noise() -> FloatArray:
    """`[STREAMS, FRAMES * 640]`: noise between silence and full scale, one stream with a stretch of digital zeros."""
    draws = np.random.default_rng(0)
    samples = FRAMES * FRAME
    noise = draws.uniform(-1, 1, (STREAMS, samples))
    knots = np.linspace(0, samples, 12)
    level_db = np.stack(
        [np.interp(np.arange(samples), knots, draws.uniform(-80, 0, 12)) for _ in range(STREAMS)]
    )
    audio = noise * 10 ** (level_db / 20)
    audio[0, 20 * FRAME : 30 * FRAME + 123] = 0
    return audio.astype(np.float32)


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no base class of their own
        raise ModelError(
            f"ONNX Runtime cannot load the exported model: {' '.join(str(error).split())}"
        ) from None


@torch.inference_mode()
def _torch(encoder: Encoder, audio: FloatArray) -> tuple[FloatArray, dict[str, FloatArray]]:
    encoder = deepcopy(encoder).to("cpu").eval()
    encoder.backend = None
    log_probs, state = encoder(torch.from_numpy(audio))
    return log_probs.numpy(), {name: tensor.numpy() for name, tensor in state.items()}


def _onnx(
    session: onnxruntime.InferenceSession,
    audio: FloatArray,
    state: dict[str, FloatArray],
    chunking: Sequence[int],
    where: str,
) -> tuple[FloatArray, dict[str, FloatArray]]:
    rows = []
    outputs = [LOG_PROBS, *(NEXT + name for name in state)]
    for start, end in _chunks(audio.shape[1] // FRAME, chunking):
        feed = {AUDIO: audio[:, start * FRAME : end * FRAME], **state}
        try:
            log_probs, *following = session.run(outputs, feed)
        except Exception as error:
            raise ModelError(
                f"ONNX Runtime cannot run the exported model {where}: {' '.join(str(error).split())}"
            ) from None
        rows.append(log_probs)
        state = dict(zip(state, following, strict=True))
    return np.concatenate(rows, axis=1), state


def _chunks(frames: int, chunking: Sequence[int]) -> Iterator[tuple[int, int]]:
    start, turn = 0, 0
    while start < frames:
        end = min(start + chunking[turn % len(chunking)], frames)
        yield start, end
        start, turn = end, turn + 1


def _difference(log_probs: FloatArray, expected: FloatArray) -> float:
    if log_probs.shape != expected.shape or not np.isfinite(log_probs).all():
        return float("inf")
    return float(np.abs(log_probs - expected)[np.maximum(log_probs, expected) > LOWEST_LOG_PROB].max())
