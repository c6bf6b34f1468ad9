"""`phonestream prepare`, `train`, `evaluate`: from a corpus to a trained model, with the extra `train`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import audio_warnings_told, complain, write
from .progress import Bar
from .shared_options import MAX_THREADS, DecoderOption, TorchThreadsOption

if TYPE_CHECKING:
    from ..asr.corpora.corpus import Problem
    from ..asr.model.encoder import Encoder

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="A folder made by `phonestream prepare`, or with a manifest.tsv. "
        "Without it: what the environment variable PHONESTREAM_SPEECH names.",
    ),
]


def prepare(
    source: Annotated[Path, typer.Argument(help="Folder of a corpus.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the cut sets, one file a split.")],
    layout: Annotated[
        str | None,
        typer.Option(help="manifest, librispeech, timit, wsj or folder. Without it: what SOURCE shows."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Name of the split, for a folder of recordings without splits."),
    ] = None,
    decode: Annotated[
        bool,
        typer.Option(
            "--decode",
            help="Decode all audio, to find damage that headers do not show, and channels that cancel.",
        ),
    ] = False,
) -> None:
    """Index a corpus of recordings and transcripts for training: one lhotse cut set a split."""
    from ..asr.corpora.corpus import format_prepared, prepare

    with Bar("preparing") as bar, audio_warnings_told(bar.hide):
        prepared = prepare(source, output, layout=layout, split=split, decode=decode, progress=bar)
    write(format_prepared(prepared))
    end_with(prepared.problems)


def train(
    configs: Annotated[
        list[Path],
        typer.Argument(
            metavar="CONFIG.toml",
            help="What to train, and how. Each stage, of one file or several, starts from the model before it.",
        ),
    ],
    run: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Folder of the run: checkpoints and records. Stages are in DIR/1, DIR/2, …"
        ),
    ],
    data: Data = None,
    stage: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Train only the N-th stage, as a run of its own in DIR."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    threads: TorchThreadsOption = None,
    initial: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL_OR_RUN", help="Start from the weights of a model file or of another run."
        ),
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="MODEL_OR_RUN",
            help="Learn this model's output, too: distillation, the configuration's share of the loss. "
            "Once for all stages that have it, or once for each of them.",
        ),
    ] = None,
    teacher_rows: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Learn these rows in place of a teacher's: a file of `phonestream teacher`."
        ),
    ] = None,
) -> None:
    """Train a model. Ctrl-C writes a checkpoint and stops; --resume goes on as if it had not.

    Several GPUs or machines: torchrun --nproc-per-node GPUS -m phonestream -- train …
    """
    from ..asr.training.config import load_recipe
    from ..asr.training.process import restart_with_settings

    if resume and initial is not None:
        raise typer.BadParameter("a run that goes on has its own weights", param_hint="--initial")
    stages = [config for path in configs for config in load_recipe(path)]
    if stage is not None:
        if stage > len(stages):
            raise typer.BadParameter(f"there are {len(stages)} stages", param_hint="--stage")
        stages = [stages[stage - 1]]
    restart_with_settings(sys.argv[1:])
    from ..asr.corpora.corpus import speech_root
    from ..asr.training.distributed import init_processes
    from ..asr.training.teacher.rows import load_rows
    from ..export.stages import train_stages

    source = data or speech_root()
    weights = None if initial is None else _encoder(initial).state_dict()
    teachers = [_encoder(origin) for origin in teacher or ()]
    rows = None if teacher_rows is None else load_rows(teacher_rows)
    with init_processes() as processes, audio_warnings_told():
        done = train_stages(
            stages,
            run,
            source,
            resume=resume,
            threads=threads,
            initial=weights,
            teachers=teachers,
            teacher_rows=rows,
            processes=processes,
            report=complain,
        )
    if not done:
        if processes.first:
            complain(f"stopped; the checkpoint in {run} is written, go on with --resume")
        raise typer.Exit(130)


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_OR_RUN", help="A model file, the name of a bundled model, or a run's folder."
        ),
    ],
    split: Annotated[str, typer.Option(help="Which split of the data.")] = "dev",
    data: Data = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most so many recordings, evenly spread.")
    ] = None,
    listing: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the decoded phones of each recording.")
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as JSON.")] = None,
    confusions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the confusion matrix of phones.")
    ] = None,
    report_folder: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            help="Write a page with tables, pictures and the worst recordings to listen to.",
        ),
    ] = None,
    decoder: DecoderOption = None,
    threads: Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="CPU threads.")] = 1,
) -> None:
    """Measure a model's phone error rate against reference phones."""
    from ..asr.evaluation.evaluate import evaluate, format_report

    with Bar("evaluating") as bar, audio_warnings_told(bar.hide):
        report = evaluate(
            model,
            split=split,
            data=data,
            limit=limit,
            listing=listing,
            json=json,
            confusions=confusions,
            page=report_folder,
            decoder=decoder,
            threads=threads,
            progress=bar,
        )
    write(format_report(report))
    end_with(report.problems)


def _encoder(origin: Path) -> "Encoder":
    """The encoder of a run's folder, its weights averaged, or of a model file.

    Raises:
        ConfigError, ModelError: it is neither, or damaged.
    """
    if origin.is_dir():
        from ..asr.training.checkpoint import load_encoder

        return load_encoder(origin)
    from ..export import read_encoder

    return read_encoder(origin)


def end_with(problems: "Sequence[Problem]") -> None:
    """Say which inputs were left out, if any, and leave with the status that says so."""
    for problem in problems:
        complain(str(problem))
    if problems:
        raise typer.Exit(1)
