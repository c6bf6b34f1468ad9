"""`phonestream transcribe`: recordings in, each one's phones out as soon as it is done."""

import io
import os
import shutil
import sys
import tempfile
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO, cast

import typer

from .command_options import options_from
from .existing import check_new
from .failures import failure_list
from .one_file import save
from .output import complain, copy, printable
from .progress import Bar
from .transcribe_options import TranscribeOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..batch.entries import Entry
    from ..batch.run import Outcome
    from ..batch.statistics import RunStatistics
    from ..batch.task import Settings


@options_from(TranscribeOptions)
def transcribe(options: TranscribeOptions) -> None:
    """Print the phonemes of recordings with their times, or write them to files."""
    options.check_files()
    from ..batch.output import new_output
    from ..batch.plan import Existing, plan_outputs
    from ..batch.run import run
    from ..batch.sources import expand, only_once, read_list
    from ..batch.statistics import RunStatistics

    model, settings, raw = options.model_spec(), options.settings(), options.raw()
    listing = [] if options.listing is None else [options.listing]
    only_once([*(options.files or []), *(name for name in listing if name == "-")])
    names = [*(options.files or []), *(name for path in listing for name in read_list(path))]
    entries: Sequence[Entry] = list(expand(names, root=options.root, raw=raw))
    output = None
    done_before = 0
    if options.output is None or options.file:
        _check_printable(settings, len(entries))
        if options.file:
            check_new(options.file, options.overwrite)
    else:
        output = new_output(options.output)
        existing = (
            Existing.resume
            if options.resume
            else Existing.overwrite
            if options.overwrite
            else Existing.refuse
        )
        entries, done_before = plan_outputs(entries, settings, output, existing, [*names, *listing])

    statistics = RunStatistics(entries, done_before)
    printer = None if output else Printer(settings, headings=len(entries) > 1, file=options.file)
    with failure_list(options.failures) as note_failure, Bar("transcribing") as bar:

        def progress(index: int, seconds: float, length: float | None) -> None:
            statistics.update(index, seconds, length)
            bar(*statistics.progress)

        outcomes = run(
            entries, settings, model, jobs=options.jobs, output=output, cluster=options.ray, progress=progress
        )
        try:
            with closing(outcomes):
                for outcome in outcomes:
                    statistics.complete(outcome)
                    note_failure(outcome)
                    _report(outcome, printer, bar, statistics)
        except KeyboardInterrupt:
            bar.hide()
            if output is not None:
                complain(statistics.interrupted())
            raise
    if printer is not None:
        printer.close()
    if options.output is not None or (len(entries) > 1 and sys.stderr is not None and sys.stderr.isatty()):
        for line in statistics.summary():
            complain(line)
    if statistics.failures:
        raise typer.Exit(1)


def _report(outcome: "Outcome", printer: "Printer | None", bar: Bar, statistics: "RunStatistics") -> None:
    """Print what there is to say of a recording, and its results where they are printed."""
    result = outcome.result
    lines = [*result.remarks, *([] if result.failure is None else [result.failure])]
    if lines or printer is not None:
        bar.hide()
    for line in lines:
        complain(line)
    if result.failure is None:
        if printer is not None:
            printer.show(outcome)
        else:
            bar(*statistics.progress)


class Printer:
    """Puts results on standard output or into a file, one behind the other, as their format has it."""

    def __init__(self, settings: "Settings", headings: bool, file: str | None) -> None:
        from ..batch.sinks import SPOOL
        from ..formats.registry import FORMATS

        self._name = file
        self._file = None if file is None else tempfile.SpooledTemporaryFile(max_size=SPOOL)  # noqa: SIM115

        self._form = FORMATS[settings.formats[0]]
        self._headings = headings or settings.channel == "each"
        self._printed = False

    def show(self, outcome: "Outcome") -> None:
        """Print the results of one recording, a channel at a time, and close them."""
        from ..batch.entries import Source

        name = outcome.entry.name if isinstance(outcome.entry, Source) else ""
        for payload in outcome.result.payloads:
            with payload.file as file:
                if self._form.name == "text" and self._headings:
                    number = "" if payload.channel is None else f", channel {payload.channel}"
                    heading = ("\n" if self._printed else "") + printable(name) + number
                    self._copy(io.BytesIO(os.fsencode(f"{heading}\n")))
                if self._printed:
                    file.seek(len(self._form.header))
                self._copy(file)
                self._printed = True

    def close(self) -> None:
        """Give the file its name, if there is anything to write.

        Raises:
            PhonestreamError: it cannot be written.
        """
        if self._file is not None and self._name is not None:
            with self._file as file:
                if self._printed:
                    file.seek(0)
                    save(self._name, cast(BinaryIO, file))

    def _copy(self, content: BinaryIO) -> None:
        if self._file is None:
            copy(content)
        else:
            shutil.copyfileobj(content, self._file)


def _check_printable(settings: "Settings", count: int) -> None:
    """Refuse to print several results of a format whose files cannot be joined.

    Raises:
        typer.BadParameter: that is asked for.
    """
    from ..formats.registry import FORMATS

    form = FORMATS[settings.formats[0]]
    if not form.joins and (count > 1 or settings.channel == "each"):
        raise typer.BadParameter(
            f"{form.name} is a file for each recording; give --output, a folder", param_hint="--format"
        )
