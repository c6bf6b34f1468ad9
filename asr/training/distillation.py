"""Knowledge distillation (Hinton et al. 2015): a student learns a larger model's rows beside CTC's transcript.

A transcript says which phones there are, a teacher's row also when, and what else it might have been. Student and
teacher have the same look-ahead, so that their rows stand for the same audio.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ..evaluation.score import phone_errors
from ..lexicon.phones import decode
from ..model.encoder import Encoder
from ..model.offline import greedy_phones
from .audio_cache import CachedCorpus, Utterance
from .batches import Batch
from .config import TrainConfig
from .teacher.rows import TeacherRows


def check_teacher(
    teacher: Encoder | None, config: TrainConfig, teacher_rows: TeacherRows | None = None
) -> None:
    """See that a teacher, or its rows in a file, is there if one is configured, and that its rows are the student's.

    Raises:
        ConfigError: there is a teacher without `distillation` or the reverse, there are two, its rows stand for
            other audio, or pauses or single words are asked for without rows.
    """
    for name, value in (
        ("augment.pause_probability", config.augment.pause_probability),
        ("word_steps", config.word_steps),
    ):
        if value > 0 and teacher_rows is None:
            raise ConfigError(
                f"{name} is above 0, and only a teacher's rows tell where words end: "
                "name a file with --teacher-rows, or set it to 0"
            )
    if teacher is not None and teacher_rows is not None:
        raise ConfigError("there are a teacher and a teacher's rows: leave --teacher or --teacher-rows out")
    if teacher_rows is not None:
        if config.distillation == 0:
            raise ConfigError(
                "there are a teacher's rows but distillation is 0, so nothing would be learnt from them: "
                "set distillation to their share of the loss, or leave --teacher-rows out"
            )
        return
    if teacher is None:
        if config.distillation > 0:
            raise ConfigError(
                f"distillation is {config.distillation:g} but there is no teacher: name one with --teacher, "
                "or a file with --teacher-rows, or set distillation to 0"
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
def teacher_log_probs(teacher: Encoder, batch: Batch) -> Tensor:
    """The teacher's log-probabilities `[batch, rows, phones + 1]` of the student's audio, without feature masks."""
    device = teacher.head.weight.device
    frames = batch.rows // teacher.config.rows_per_frame + teacher.config.look_ahead_frames
    return teacher.offline(batch.audio.to(device), frames=frames.to(device))


def fingerprint(module: nn.Module) -> str:
    """SHA-256 of a module's weights, by which a resumed run knows its teacher, and rows are known to be of it."""
    digest = hashlib.sha256()
    for name, weight in sorted(module.state_dict().items()):
        digest.update(f"{name} {list(weight.shape)}\n".encode())
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def trusted_rows(
    rows: TeacherRows, corpus: CachedCorpus, most_errors: float, report: Callable[[str], None]
) -> TeacherRows:
    """The rows of `corpus`, without those that are worse than nothing: they contradict the transcript.

    Args:
        most_errors: as a share of the transcript's phones, the rows being read greedily; 1: as many as there are.
        report: is told how many recordings are without rows, and why.

    Raises:
        ConfigError: no recording has rows.
    """

    def trusted(utterance: Utterance) -> bool:
        heard = greedy_phones(rows.dense(utterance.id))
        return phone_errors(decode(utterance.labels), heard).total <= most_errors * len(utterance.labels)

    known = [utterance for utterance in corpus.utterances if utterance.id in rows]
    if not known:
        raise ConfigError(
            "the teacher's rows are of none of the training recordings: make them of this corpus with "
            "`phonestream teacher`"
        )
    kept = known if most_errors >= 1 else [utterance for utterance in known if trusted(utterance)]
    if len(known) < len(corpus.utterances):
        report(f"{len(corpus.utterances) - len(known)} recordings have no rows of the teacher's")
    if len(kept) < len(known):
        report(
            f"{len(known) - len(kept)} recordings are learnt without the teacher's rows, which err too often"
        )
    return replace(rows, places={utterance.id: rows.places[utterance.id] for utterance in kept})
