"""Other keywords or commands in a stream that goes on: what it remembers and what they can use is kept."""

from typing import NamedTuple

from .command_state import Commanding
from .commands import CommandRecognizer
from .spotter import Spotter, SpotterState, Spotting


class KeywordsSet(NamedTuple):
    """Other keywords are looked for from here on."""

    phrases: list[str]
    """All of them; none: no keywords are looked for."""
    start: float
    """Seconds from the start of the stream where the first row lies that counts for them."""


class CommandsSet(NamedTuple):
    """Utterances are compared with other commands from here on."""

    phrases: list[str]
    """All of them; none: with no commands."""
    start: float
    """Seconds from the start of the stream where the first row lies that counts for them."""


def change(before: Spotting | None, spotter: Spotter | None, row: int) -> Spotting | None:
    """A stream's spotting with other keywords from `row` on, the next one; None for none.

    A keyword that was there before, of the same phrase and pronunciations, goes on as if nothing had changed: an
    occurrence that is not certain yet still comes, if its score is the new threshold. A new one begins at `row`, with
    nothing before it. One that is left out is told no more.
    """
    if spotter is None:
        return None
    first = spotter.initial()
    if before is None:
        return Spotting(spotter, first._replace(search=first.search._replace(row=row)))
    known = {word.phrase: place for place, word in enumerate(before.spotter.keywords)}
    kept = {
        place: known[word.phrase]
        for place, word in enumerate(spotter.keywords)
        if word.phrase in known and word.variants == before.spotter.keywords[known[word.phrase]].variants
    }
    search = spotter.search.take_over(before.spotter.search, before.state.search, kept)
    return Spotting(spotter, SpotterState(search, before.state.rows))


def change_commands(
    before: Commanding | None, recognizer: CommandRecognizer | None, row: int
) -> Commanding | None:
    """A stream's commands with others from `row` on, the next one; None for none.

    The utterance that goes on is compared with the new ones, as far as it was kept for those before.
    """
    if recognizer is None:
        return None
    return Commanding(recognizer, row) if before is None else before._replace(recognizer=recognizer)
