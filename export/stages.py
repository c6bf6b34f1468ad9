"""Training in stages: each starts from the int8 model of the one before it, and all are one run.

Training on clean speech first and on noise and rooms later ends with fewer errors than training on all of it from the
start. A stage passes on what a user would get: the averaged weights, rounded to int8.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from torch import Tensor

from ..asr.model.encoder import Encoder, check_streams
from ..asr.training.checkpoint import (
    CHECKPOINT,
    check_same_config,
    expand_weights,
    load_checkpoint,
    load_weights,
)
from ..asr.training.config import TrainConfig
from ..asr.training.distillation import check_teacher
from ..asr.training.distributed import Processes
from ..asr.training.teacher.rows import TeacherRows
from ..asr.training.train import train
from ..errors import ConfigError
from .exporter import export
from .weights import read_weights

MODEL = "model.onnx"  # in the folder of every stage but the last, which is the user's to export


def train_stages(
    stages: Sequence[TrainConfig],
    run: Path,
    data: Path,
    *,
    resume: bool,
    threads: int | None,
    initial: dict[str, Tensor] | None,
    teachers: Sequence[Encoder],
    teacher_rows: TeacherRows | None = None,
    processes: Processes,
    report: Callable[[str], object] = lambda line: None,
) -> bool:
    """Train `stages` one after the other, in `run/1`, `run/2`, …; one alone in `run`.

    Args:
        stages: what to train; each must take the weights of the one before it.
        run: folder of the whole.
        data, threads, processes: as for `train`.
        resume: go on in the stage that was reached.
        initial: weights that the first stage starts from.
        teachers: of the stages that have `distillation`: one for all of them, or one for each in order.
        teacher_rows: of these stages in place of teachers.
        report: called with a line about each stage that begins.

    Returns:
        True when all stages are done, False when a signal asked to stop.

    Raises:
        ConfigError: before anything is trained, if a stage cannot follow the one before it, a teacher does not fit,
            or `run` holds what would be overwritten; and as `train`.
        DataError, ModelError: as `train` and `export`.
    """
    train_one = partial(train, data=data, threads=threads, processes=processes)
    if len(stages) == 1:
        (teacher,) = assign_teachers(stages, teachers, teacher_rows)
        return train_one(
            stages[0], run, resume=resume, initial=initial, teacher=teacher, teacher_rows=teacher_rows
        )
    check_stages(stages)
    teacher_of = assign_teachers(stages, teachers, teacher_rows)
    folders = [run / str(number) for number in range(1, len(stages) + 1)]
    if processes.first:
        check_folders(run, folders, resume)
    for index, (config, folder) in enumerate(zip(stages, folders, strict=True)):
        steps = processes.broadcast(steps_done(folder, config) if processes.first else None)
        if steps == config.steps:
            continue
        if processes.first:
            report(f"stage {index + 1} of {len(stages)}, {config.name}, in {folder}")
        if index > 0 and steps is None:
            initial = processes.broadcast(export_stage(folders[index - 1]) if processes.first else None)
        done = train_one(
            config,
            folder,
            resume=steps is not None,
            initial=initial if steps is None else None,
            teacher=teacher_of[index],
            teacher_rows=teacher_rows if config.distillation > 0 else None,
        )
        if not done:
            return False
    return True


def check_stages(stages: Sequence[TrainConfig]) -> None:
    """See that every stage can start from the one before it.

    Raises:
        ConfigError: a stage cannot, named by its number.
    """
    encoders = [Encoder(config.model) for config in stages]
    for number, (before, encoder) in enumerate(pairwise(encoders), start=2):
        check_streams(before)
        weights = expand_weights(before.state_dict(), encoder)
        load_weights(encoder, weights, f"stage {number - 1}, from which stage {number} starts")


def assign_teachers(
    stages: Sequence[TrainConfig], teachers: Sequence[Encoder], teacher_rows: TeacherRows | None = None
) -> list[Encoder | None]:
    """The teacher of each stage, None where it has no `distillation`.

    Raises:
        ConfigError: there are neither one for all taught stages nor one for each, or one does not fit its stage.
    """
    taught = [index for index, config in enumerate(stages) if config.distillation > 0]
    if len(teachers) > 1 and len(teachers) != len(taught):
        raise ConfigError(
            f"there are {len(teachers)} teachers but {len(taught)} stages with distillation: "
            "give --teacher once for all of them, or once for each"
        )
    chosen: list[Encoder | None] = [None] * len(stages)
    for place, index in enumerate(taught):
        chosen[index] = teachers[place % len(teachers)] if teachers else None
        check_teacher(chosen[index], stages[index], teacher_rows)
    if not taught:
        check_teacher(teachers[0] if teachers else None, stages[0], teacher_rows)
    return chosen


def check_folders(run: Path, folders: Sequence[Path], resume: bool) -> None:
    """See that nothing in `run` would be overwritten, and that there is something if it is to be resumed.

    Raises:
        ConfigError: naming the folder.
    """
    if (run / CHECKPOINT).exists():
        raise ConfigError(f"{run}: holds a run of one configuration; choose another folder for stages")
    begun = [folder for folder in folders if (folder / CHECKPOINT).exists()]
    if begun and not resume:
        raise ConfigError(f"{begun[0]}: holds a run already; go on with --resume, or choose another folder")
    if resume and folders[0] not in begun:
        raise ConfigError(f"{folders[0]}: has no {CHECKPOINT}; start without --resume")


def steps_done(folder: Path, config: TrainConfig) -> int | None:
    """Steps that the stage in `folder` has behind it; None if it has no checkpoint yet.

    Raises:
        ConfigError: it is of another configuration, or damaged.
    """
    if not (folder / CHECKPOINT).exists():
        return None
    before = load_checkpoint(folder)
    check_same_config(before, config, folder)
    return before.step


def export_stage(folder: Path) -> dict[str, Tensor]:
    """Export a finished stage as int8 beside its checkpoint, and read the weights back."""
    model = folder / MODEL
    export(folder, model, int8=True)
    return read_weights(model)
