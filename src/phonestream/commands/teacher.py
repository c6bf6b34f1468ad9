"""`phonestream teacher`: rows that a larger, non-streaming model gives, for students to learn from."""

from pathlib import Path
from typing import Annotated

import typer

from .output import complain, write
from .progress import Bar
from .shared_options import TorchThreadsOption
from .training import Data

ROWS = "teacher-rows.npz"  # beside the cuts
HEAD = "teacher-head.safetensors"


def teacher(
    whisper: Annotated[
        Path, typer.Argument(help="Folder of a Whisper model in CTranslate2's format (model.bin).")
    ],
    data: Data = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help=f"The rows. Without it: {ROWS} in the data folder.")
    ] = None,
    head: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"The head: read if it is there, else trained and written. Without it: {HEAD} beside the rows.",
        ),
    ] = None,
    hours: Annotated[float, typer.Option(min=0.0, help="Hours of speech that the head is trained on.")] = 5.5,
    passes: Annotated[float, typer.Option(min=0.01, help="Passes over these hours.")] = 6.0,
    student: Annotated[
        str,
        typer.Option(
            metavar="PATH|NAME",
            help="A streaming model like the one to be taught; by how much later its spikes come is measured.",
        ),
    ] = "default",
    lead: Annotated[
        float | None,
        typer.Option(min=-0.5, max=0.5, metavar="SECONDS", help="That time, if it need not be measured."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="At most so many training recordings, evenly spread."),
    ] = None,
    threads: TorchThreadsOption = None,
) -> None:
    """Train a CTC head on Whisper's frozen encoder and write its rows for `phonestream train --teacher-rows`."""
    import torch

    from ..asr.corpora.corpus import speech_root
    from ..asr.training.teacher.make import make_rows

    if threads:
        torch.set_num_threads(threads)
    source = data or speech_root()
    rows = output or source / ROWS
    with Bar("preparing") as bar:
        made = make_rows(
            whisper,
            source,
            rows,
            head or rows.with_name(HEAD),
            hours=hours,
            passes=passes,
            student=student,
            lead_seconds=lead,
            limit=limit,
            report=complain,
            progress=lambda what, done, total: bar(done, total, what),
        )
    write(str(made))
