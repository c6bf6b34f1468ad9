"""Training of a teacher's head on kept features: CTC, masks over time and over features, an averaged copy."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import AdamW

from ..batches import epoch_plan
from ..losses import ctc_loss
from ..optimisers import average
from .features import Features
from .head import Head, HeadConfig
from .whisper import RATE, ROW

BATCH_SECONDS = 60.0
LEARNING_RATE = 2e-3
WARMUP_STEPS = 50
WEIGHT_DECAY = 0.02
CLIP_NORM = 2.0
AVERAGE_DECAY = 0.995
TIME_MASKS_PER_SECOND, TIME_MASK_ROWS = 1.0, 15  # longest mask
SEED = 1
FEATURE_MASKS, FEATURE_MASK_SHARE = 2, 0.12  # of the width, the widest mask


def fit_head(
    features: Sequence[Features],
    labels: Sequence[Sequence[int]],
    *,
    passes: float,
    report: Callable[[str], object] = lambda line: None,
) -> Head:
    """Train a head on recordings' features and their CTC labels; a function of its arguments alone.

    Args:
        features: `[rows, layers, width]` of each recording.
        labels: of each recording.
        passes: over all recordings; the learning rate falls to zero over the last seven tenths.
        report: called with a line now and then.

    Returns:
        The averaged weights, in evaluation mode.
    """
    torch.manual_seed(SEED)
    _, layers, width = features[0].shape
    head = Head(HeadConfig(layers=layers, input_width=width)).train()
    averaged = deepcopy(head).requires_grad_(False)
    optimiser = AdamW(
        head.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY, fused=True
    )
    lengths = np.array([len(rows) * ROW for rows in features], np.int64)
    plans = [
        epoch_plan(lengths, int(BATCH_SECONDS * RATE), SEED, epoch) for epoch in range(math.ceil(passes))
    ]
    batches = [batch for plan in plans for batch in plan]
    steps = max(1, round(len(batches) * passes / math.ceil(passes)))
    smooth = None
    for step, batch in enumerate(batches[:steps]):
        rng = np.random.default_rng([SEED, step, 5])
        share = min((step + 1) / WARMUP_STEPS, 1.0, (1 - step / steps) / 0.7)
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * share
        inputs, rows = collate([features[index] for index in batch])
        _mask(inputs, rows, rng)
        phones = torch.tensor([len(labels[index]) for index in batch])
        targets = torch.tensor([label for index in batch for label in labels[index]], dtype=torch.int64)
        loss = ctc_loss(head(inputs, rows), targets, rows, phones).sum() / max(1, int(phones.sum()))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(head.parameters(), CLIP_NORM)
        optimiser.step()
        average(averaged, head, step, AVERAGE_DECAY)
        smooth = loss.item() if smooth is None else 0.95 * smooth + 0.05 * loss.item()
        if (step + 1) % 50 == 0 or step + 1 == steps:
            report(f"teacher's head: step {step + 1}/{steps}  loss {smooth:.3f}")
    return averaged.eval()


@torch.inference_mode()
def head_log_probs(head: Head, features: Features) -> NDArray[np.float32]:
    """Log-probabilities `[rows, phones + 1]` of one recording."""
    inputs, rows = collate([features])
    log_probs: NDArray[np.float32] = head(inputs, rows)[0].numpy()
    return log_probs


def collate(recordings: Sequence[Features]) -> tuple[Tensor, Tensor]:
    """Recordings as one batch float32 `[batch, rows, layers, width]`, zeros behind each, and their rows `[batch]`."""
    rows = [len(recording) for recording in recordings]
    batch = torch.zeros(len(recordings), max(rows), *recordings[0].shape[1:])
    for padded, recording in zip(batch, recordings, strict=True):
        padded[: len(recording)] = torch.from_numpy(recording.astype(np.float32))
    return batch, torch.tensor(rows)


def _mask(features: Tensor, rows: Tensor, rng: np.random.Generator) -> None:
    """SpecAugment on features: stretches of rows and bands of the width to zero, in place."""
    width = features.shape[-1]
    for recording, count in zip(features, rows.tolist(), strict=True):
        for _ in range(int(rng.poisson(TIME_MASKS_PER_SECOND * count * ROW / RATE))):
            length = int(rng.integers(1, TIME_MASK_ROWS + 1))
            first = int(rng.integers(max(1, count - length + 1)))
            recording[first : first + length] = 0
        for _ in range(FEATURE_MASKS):
            band = int(rng.integers(int(FEATURE_MASK_SHARE * width) + 1))
            first = int(rng.integers(width - band + 1))
            recording[:, :, first : first + band] = 0
