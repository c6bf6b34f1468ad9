"""The rule on silence as its definition reads, with none of the code under test: what streams are compared with."""

from collections.abc import Callable

import numpy as np
import onnxruntime

from phonestream.streaming.metadata import ModelMetadata

State = dict[str, np.ndarray]
Run = Callable[[np.ndarray, State], tuple[np.ndarray, State]]


def ruled_log_probs(
    run: Run, state: State, metadata: ModelMetadata, samples: np.ndarray
) -> tuple[np.ndarray, int]:
    """Rows [rows, columns] of a whole recording at the model's rate, an interval at a time; and how many were silent.

    `run` takes audio [1, samples] and a state, and gives log-probabilities [1, rows, columns] and the next state.
    """
    rule, late, each = metadata.silence, metadata.look_ahead_frames, metadata.rows_per_frame
    assert rule is not None
    frames = -(-len(samples) // metadata.frame_samples) + (late if len(samples) else 0)
    audio = np.zeros((1, frames * metadata.frame_samples), np.float32)
    audio[0, : len(samples)] = samples
    parts = [np.zeros((0, len(metadata.phones) + 1), np.float32)]
    blank: list[bool] = []
    silent = 0
    for first in range(0, frames, rule.interval_frames):
        until = min(frames, first + rule.interval_frames)
        before = state
        part = slice(first * metadata.frame_samples, until * metadata.frame_samples)
        log_probs, state = run(audio[:, part], before)
        parts.append(log_probs[0])
        sure = np.exp(log_probs[0, :, metadata.blank]) > rule.blank_probability
        blank += [bool(value) for value in sure.reshape(-1, each).all(axis=1)]
        blank[:late] = [True] * len(blank[:late])
        whole = until - first == rule.interval_frames and first >= rule.after_frames
        if whole and all(blank[first - rule.after_frames :]):
            fading = rule.fading_heads
            for name in rule.states:
                kept = [state[name][:, :fading], before[name][:, fading:]]
                state = {**state, name: np.concatenate(kept, axis=1)}
            silent += 1
    return np.concatenate(parts)[late * each :], silent


def onnx_run(session: onnxruntime.InferenceSession) -> Run:
    """`run` for `ruled_log_probs`: ONNX Runtime alone."""

    def run(audio: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        names = ["log_probs", *(f"next_{name}" for name in state)]
        log_probs, *following = session.run(names, {"audio": audio, **state})
        return log_probs, dict(zip(state, following, strict=True))

    return run
