"""What commands that go through many recordings do with a run: files are planned, results shown, failures counted."""

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO, cast

import typer

from .existing import check_new
from .failures import failure_list
from .one_file import save
from .output import complain, copy, printable
from .progress import Bar
from .run_options import Form, RunOptions

if TYPE_CHECKING:
    from ..batch.entries import Entry, Source
    from ..batch.executor import Opener, Work
    from ..batch.run import Outcome
    from ..batch.statistics import RunStatistics
    from ..batch.task import Settings


def run_batch(
    entries: "Sequence[Entry]",
    settings: "Settings",
    task: "Callable[[Source], Work]",
    model: "Opener",
    options: RunOptions,
    *,
    label: str,
    names: Sequence[str],
    form: Form,
    headings: bool = False,
) -> bool:
    """Do the work on every recording, and print its results or write them to the file or below the folder `--output`.

    Args:
        entries: from `batch.sources.expand`.
        settings: the names of files come from these.
        task, model: as for `batch.run.run`.
        options: the command's.
        label: of the progress bar.
        names: what is read beside the recordings, which no result may replace.
        form: of results that are printed or go into one file.
        headings: whether a recording's name stands above what is printed of it, if there are several results.

    Returns:
        Whether all went well, and every transcript fits where there are transcripts.

    Raises:
        PhonestreamError: as `batch.plan.plan_outputs` and `batch.run.run`, or the file is there and is to stay.
        typer.BadParameter: results of this format cannot be put one behind the other.
    """
    from ..batch.entries import paths
    from ..batch.inputs import check_not_read
    from ..batch.output import new_output
    from ..batch.plan import plan_outputs
    from ..batch.run import run
    from ..batch.statistics import RunStatistics

    if options.failures is not None:
        check_not_read([options.failures], [*names, *paths(entries)], "give --failures another name")
    output, printer, done_before = None, None, 0
    if options.output is not None and options.file is None:
        output = new_output(options.output)
        entries, done_before = plan_outputs(entries, settings, output, options.existing, names)
    else:
        several = len(entries) > 1 or settings.channel == "each"
        _check_joins(form, several, options.file)
        if options.file is not None:
            check_new(options.file, options.overwrite, [*names, *paths(entries)])
        printer = Printer(form, headings=headings and several, file=options.file)
    statistics = RunStatistics(entries, done_before)
    with failure_list(options.failures) as note_failure, Bar(label) as bar:

        def progress(index: int, seconds: float, length: float | None) -> None:
            statistics.update(index, seconds, length)
            bar(*statistics.progress)

        outcomes = run(
            entries, task, model, jobs=options.jobs, output=output, cluster=options.ray, progress=progress
        )
        try:
            with closing(outcomes):
                for outcome in outcomes:
                    statistics.complete(outcome)
                    _report(outcome, printer, bar, statistics)
                    note_failure(outcome)
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
    return not statistics.failures and not statistics.misfits


def _report(outcome: "Outcome", printer: "Printer | None", bar: Bar, statistics: "RunStatistics") -> None:
    """Print what there is to say of a recording, and its results where they are printed."""
    result = outcome.result
    lines = [*result.remarks, *(result.misfits if result.failure is None else [result.failure])]
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

    def __init__(self, form: Form, *, headings: bool, file: str | None) -> None:
        """
        Args:
            form: the format of all results.
            headings: whether the name of a recording stands above what is printed of it.
            file: where they go, whole or not at all; None: standard output.
        """
        from ..batch.sinks import SPOOL

        self._name = file
        self._file = None if file is None else tempfile.SpooledTemporaryFile(max_size=SPOOL)  # noqa: SIM115
        self._form = form
        self._headings = headings
        self._printed = False

    def show(self, outcome: "Outcome") -> None:
        """Print the results of one recording, a channel at a time, and close them."""
        from ..batch.entries import Source

        name = outcome.entry.name if isinstance(outcome.entry, Source) else ""
        for payload in outcome.result.payloads:
            with payload.file as file:
                if self._headings:
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


def _check_joins(form: Form, several: bool, file: str | None) -> None:
    """Refuse to put several results of a format one behind the other whose files cannot be joined.

    Args:
        several: whether there are.
        file: where they would go; None: standard output.

    Raises:
        typer.BadParameter: that is asked for.
    """
    if several and not form.joins:
        if file is not None:
            raise typer.BadParameter(
                f"{file}: is one file, and {form.name} is a file for each recording; give a folder, and "
                f"--format {form.name}",
                param_hint="--output",
            )
        raise typer.BadParameter(
            f"{form.name} is a file for each recording; give --output, a folder", param_hint="--format"
        )
