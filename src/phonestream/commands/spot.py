"""`phonestream spot`: where keywords are said in recordings."""

import io
from functools import partial
from typing import TYPE_CHECKING

import typer

from .command_options import options_from
from .existing import check_new
from .one_file import save
from .output import complain, copy
from .run_batch import run_batch
from .spot_options import SpotOptions

if TYPE_CHECKING:
    from ..batch.spot_task import SpotSpec


@options_from(SpotOptions)
def spot(options: SpotOptions) -> None:
    """Find keywords in recordings, with times and scores; or tell which command each one is."""
    options.check()
    if options.tune is not None:
        _tune(options.tune, options)
        return
    from ..batch.sources import expand, only_once
    from ..batch.spot_task import SpotTask

    settings, raw = options.settings(), options.raw()
    names = list(options.files or [])
    only_once(names)
    entries = list(expand(names, root=options.root, raw=raw))
    read = [name for name in (*names, options.listing, options.commands) if name is not None]
    spec = options.spec()
    if options.threshold == 0 and options.commands is None:
        complain(
            "--threshold 0 tells every peak, false ones above all: give 0.5 for about one false alarm an hour"
        )
    if options.commands is None:
        _warn_of_short(spec)
    if not run_batch(
        entries,
        settings,
        partial(SpotTask, settings=settings),
        spec,
        options,
        label="spotting",
        names=read,
        form=options.formats[settings.formats[0]],
    ):
        raise typer.Exit(1)


def _warn_of_short(spec: "SpotSpec") -> None:
    """Say which keywords reach their threshold nowhere, however clearly they are said."""
    from ..streaming.spotting.calibration import score
    from ..streaming.spotting.keywords import Keywords

    assert isinstance(spec.sought, Keywords)
    for index, word in enumerate(spec.sought):
        highest = max(score(0.0, len(said.phones), 0.0) for said in word.variants)
        threshold = spec.sought.threshold_of(index)
        if highest < threshold < 1:
            complain(
                f"keyword {word.phrase!r} is too short for the threshold {threshold:g}: its score is at most "
                f"{highest:.2f}; give a longer phrase, or behind a tab in --list a threshold of its own"
            )


def _tune(folder: str, options: SpotOptions) -> None:
    """Write the keywords with thresholds from a folder of recordings."""
    from ..batch.entries import paths
    from ..batch.sources import expand
    from .align_corpus import with_transcripts
    from .spot_tune import tune

    entries, transcripts = with_transcripts(list(expand([folder])))
    if options.output is not None:
        check_new(
            options.output,
            options.overwrite,
            [options.listing, *paths(entries), *transcripts.values()],
        )
    phrases, _ = options.phrases
    alarms = 1.0 if options.false_alarms is None else options.false_alarms
    listing, fine = tune(folder, entries, transcripts, phrases, options.spec(), alarms, options.jobs or 1)
    content = io.BytesIO(listing.encode())
    if options.output is None:
        copy(content)
    else:
        save(options.output, content)
    if not fine:
        raise typer.Exit(1)
