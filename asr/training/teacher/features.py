"""Features for a teacher's head: rows of several layers of the frozen encoder, kept in one memory-mapped file."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..audio_cache import cache_folder, keep
from .whisper import LONGEST, PADDING, RATE, ROW, WhisperEncoder, log_mel

LAYERS = 3  # of the encoder, the last ones: higher layers know words, lower ones sounds
OVERLAP = 2.0  # seconds that the windows of a long recording share

Samples = NDArray[np.float32]
Features = NDArray[np.float16]


@torch.inference_mode()
def features_of(encoder: WhisperEncoder, samples: Samples) -> Features:
    """The last layers' rows for a recording: float16 `[rows, layers, width]`, a row for each started 20 ms.

    A recording that is too long for one window is cut into several which overlap; in an overlap the first half of the
    rows is the earlier window's.
    """
    parts = []
    for first, begin, end in windows(len(samples)):
        mel = log_mel(samples[first : first + int((LONGEST - PADDING) * RATE)])
        dtype = encoder.convolution1.weight.dtype
        layers = encoder(mel.unsqueeze(0).to(encoder.positions.device, dtype))[-LAYERS:]
        rows = torch.stack(layers, dim=2)[0].float().cpu().numpy()
        parts.append(rows[begin - first // ROW : end - first // ROW].astype(np.float16))
    return np.concatenate(parts)


def windows(samples: int) -> list[tuple[int, int, int]]:
    """For each window its first sample, and the recording's rows `begin … end - 1` that are taken from it."""
    rows = -(-samples // ROW)
    length = int((LONGEST - PADDING) * RATE) // ROW  # rows
    step, overlap = length - int(OVERLAP * RATE) // ROW, int(OVERLAP * RATE) // ROW
    firsts = [0]
    while firsts[-1] + length < rows:
        firsts.append(firsts[-1] + step)
    cuts = [0, *(first + overlap // 2 for first in firsts[1:]), rows]
    return [(first * ROW, begin, end) for first, begin, end in zip(firsts, cuts, cuts[1:], strict=False)]


def kept_features(
    encoder: WhisperEncoder,
    weights_digest: str,
    recordings: Sequence[tuple[str, int, Callable[[], Samples]]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Features]:
    """Features of recordings, computed once: about 150 kB a second of audio for Whisper base, in the cache folder.

    Args:
        encoder: the frozen encoder.
        weights_digest: names its weights.
        recordings: for each its id, number of samples, and a function that loads them.

    Raises:
        DataError: the disk has no room.
    """
    counts = [-(-samples // ROW) for _, samples, _ in recordings]
    shape = (sum(counts), min(LAYERS, len(encoder.blocks) + 1), encoder.width)
    digest = hashlib.sha256(weights_digest.encode())
    for identifier, samples, _ in recordings:
        digest.update(f"{identifier}\t{samples}\n".encode())
    path = cache_folder() / f"{digest.hexdigest()[:32]}.features"
    keep(
        path,
        2 * int(np.prod(shape)),
        (features_of(encoder, load()).tobytes() for _, _, load in recordings),
        "features",
        "make room, set PHONESTREAM_CACHE to another folder, or take fewer --hours",
        lambda done: progress(done, len(recordings)),
    )
    everything = np.memmap(path, np.float16, "r", shape=shape)
    return [np.asarray(part) for part in np.split(everything, np.cumsum(counts)[:-1])]
