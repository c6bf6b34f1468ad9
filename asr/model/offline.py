"""Whole recordings through a torch encoder, in batches: how training and evaluation measure error rates."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import AudioError
from ...streaming.audio.samples import SAMPLE_RATE
from ...streaming.decode import Decoder, DecoderState, Phone
from ..lexicon.phones import BLANK, PHONES
from .encoder import FRAME, Encoder, pad

_DECODER = Decoder(symbols=("", *PHONES), blank=BLANK, row_seconds=FRAME / SAMPLE_RATE)


def encoder_log_probs(
    encoder: Encoder, samples: Sequence[NDArray[np.float32]], *, batch_seconds: float = 120.0
) -> list[NDArray[np.float32]]:
    """Log-probabilities of whole recordings, in the order in which they came.

    A recording of N samples gives ceil(N / 640) encoder frames: it is padded with zeros to whole frames and
    then by the encoder's look-ahead, and the rows that come before the first frame's own are dropped. This
    is what a stream does at `finish()`, so a row here is the row that streaming gives. Neither the zeros
    that even out a batch nor its other recordings reach a row that is kept: a causal encoder does not look
    ahead, and with full-context attention only recordings of equally many frames share a batch.

    A recording longer than `batch_seconds` is run in blocks with the state carried, if the encoder can
    stream; memory is then bounded by the block.

    Args:
        encoder: run in evaluation mode, without gradients, on its own device; its mode is put back
            afterwards.
        samples: one float array [n] at 16 kHz in [-1, 1] per recording; n may be 0.
        batch_seconds: the most audio, padding included, in one forward pass; a recording alone may take
            more if the encoder cannot stream.

    Returns:
        One float32 array [ceil(n / 640) * rows_per_frame, phones + 1] per recording.

    Raises:
        AudioError: a recording is not one-dimensional or holds a value that is not finite.
    """
    for index, recording in enumerate(samples):
        if recording.ndim != 1:
            raise AudioError(f"recording {index}: expected samples of shape [n], got {list(recording.shape)}")
        if not np.isfinite(recording).all():
            raise AudioError(f"recording {index}: samples must be finite, found NaN or infinity")
    look_ahead, rows_per_frame = encoder.config.look_ahead_frames, encoder.config.rows_per_frame
    budget = max(1, int(batch_seconds * SAMPLE_RATE) // FRAME)  # encoder frames in a forward pass
    lengths = {i: -(-len(x) // FRAME) + look_ahead for i, x in enumerate(samples) if len(x)}
    alike = not encoder.config.attention.endswith("causal")

    results = [np.zeros((0, len(PHONES) + 1), np.float32)] * len(samples)
    was_training = encoder.training
    encoder.eval()
    try:
        for batch in _batches(lengths, budget, alike):
            audio = pad([torch.from_numpy(samples[index]) for index in batch], look_ahead)
            block = budget // len(batch) * FRAME if encoder.streams else audio.shape[1]
            log_probs = _forward(encoder, audio, block)
            for rows, index in zip(log_probs, batch, strict=True):
                results[index] = rows[look_ahead * rows_per_frame : lengths[index] * rows_per_frame].copy()
    finally:
        encoder.train(was_training)
    return results


def greedy_phones(log_probs: NDArray[np.float32]) -> list[str]:
    """Symbols of `greedy_decode`."""
    return [phone.symbol for phone in greedy_decode(log_probs)]


def greedy_decode(log_probs: NDArray[np.float32], temperature: float = 1.0) -> list[Phone]:
    """Phones of the best path, decoded as a stream is: runs of equal rows are one phone, blanks none.

    Times count a row as one encoder frame; confidences are of `temperature`.

    Args:
        log_probs: [rows, phones + 1].
    """
    decoder = replace(_DECODER, temperature=temperature)
    phones, state = decoder.decode(DecoderState(), log_probs)
    return phones + decoder.finish(state)


def _batches(lengths: dict[int, int], budget: int, alike: bool) -> Iterator[list[int]]:
    """Keys of `lengths` (frames), longest first, at most `budget` padded frames at a time or one recording.

    With `alike` a batch holds only recordings of one length.
    """
    order = sorted(lengths, key=lambda index: (-lengths[index], index))
    while order:
        longest = lengths[order[0]]
        size = max(1, budget // longest)
        batch = [index for index in order[:size] if not alike or lengths[index] == longest]
        yield batch
        order = order[len(batch) :]


def _forward(encoder: Encoder, audio: torch.Tensor, block: int) -> NDArray[np.float32]:
    """Log-probabilities [batch, rows, phones + 1] of `audio` [batch, samples], `block` samples at a time."""
    device = next(encoder.parameters()).device
    state = None
    rows: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for part in torch.split(audio, block, dim=1):
            log_probs, state = encoder(part.to(device), state)
            rows.append(log_probs.float().cpu().numpy())
    return np.concatenate(rows, axis=1)
