"""A small model learns what a larger one hears (Hinton et al. 2015): row by row, beside CTC's transcript.

A transcript says which phones there are, a teacher's row also when, and what else it might have been. Student and
teacher have one look-ahead, so that a row of one stands for the same audio as that row of the other.
"""

import hashlib

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import ConfigError
from ..model.encoder import Encoder
from .batches import Batch
from .config import TrainConfig


def check_teacher(teacher: Encoder | None, config: TrainConfig) -> None:
    """See that a teacher is there if one is configured, and that its rows are the student's.

    Raises:
        ConfigError: there is a teacher without `distillation` or the reverse, or its rows stand for other audio.
    """
    if teacher is None:
        if config.distillation > 0:
            raise ConfigError(
                f"distillation is {config.distillation:g} but there is no teacher: name one with --teacher, "
                "or set distillation to 0"
            )
        return
    if config.distillation == 0:
        raise ConfigError(
            "there is a teacher but distillation is 0, so nothing would be learnt from it: "
            "set distillation to the teacher's share of the loss, or leave --teacher out"
        )
    for name in ("look_ahead_frames", "rows_per_frame"):
        ours, theirs = getattr(config.model, name), getattr(teacher.config, name)
        if ours != theirs:
            raise ConfigError(
                f"the teacher's {name} is {theirs}, the student's {ours}: their rows do not stand for the same "
                f"audio; set model.{name} to {theirs}, or take another teacher"
            )


@torch.no_grad()
def taught_rows(teacher: Encoder, batch: Batch) -> Tensor:
    """The teacher's log-probabilities `[batch, rows, phones + 1]`: it hears what the student does, with no mask."""
    device = teacher.head.weight.device
    frames = batch.rows // teacher.config.rows_per_frame + teacher.config.look_ahead_frames
    return teacher.offline(batch.audio.to(device), frames=frames.to(device))


def divergence(student: Tensor, teacher: Tensor, rows: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the student's rows from the teacher's, summed over the rows that are no padding.

    Args:
        student, teacher: log-probabilities `[batch, rows, phones + 1]`; gradients reach the student alone.
        rows: int64 `[batch]`, rows of each recording.
    """
    each = functional.kl_div(student, teacher.detach(), reduction="none", log_target=True).sum(dim=-1)
    real = torch.arange(each.shape[1], device=each.device) < rows.to(each.device).unsqueeze(1)
    return each.masked_fill(~real, 0.0).sum()


def fingerprint(encoder: Encoder) -> str:
    """SHA-256 of an encoder's weights, by which a resumed run knows its teacher."""
    digest = hashlib.sha256()
    for name, weight in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {list(weight.shape)}\n".encode())
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
