"""`phonestream transcribe`: recordings in, each one's phones out as soon as it is done."""

from functools import partial

import typer

from ..errors import DataError
from .command_options import options_from
from .run_batch import run_batch
from .transcribe_options import TranscribeOptions


@options_from(TranscribeOptions)
def transcribe(options: TranscribeOptions) -> None:
    """Print the phonemes of recordings with their times, or write them to files."""
    options.check_files()
    from ..batch.entries import Failure
    from ..batch.sources import expand, only_once, read_list
    from ..batch.task import Task
    from ..formats.registry import FORMATS

    model, settings, raw = options.model_spec(), options.settings(), options.raw()
    listing = [] if options.listing is None else [options.listing]
    only_once([*(options.files or []), *(name for name in listing if name == "-")])
    names, unread = [*(options.files or [])], []
    for path in listing:
        try:
            names += read_list(path)
        except DataError as error:
            unread.append(Failure(str(error), path))
    entries = [*expand(names, root=options.root, raw=raw), *unread]
    form = FORMATS[settings.formats[0]]
    if not run_batch(
        entries,
        settings,
        partial(Task, settings=settings),
        model,
        options,
        label="transcribing",
        names=[*names, *listing],
        form=form,
        headings=form.name == "text",
    ):
        raise typer.Exit(1)
