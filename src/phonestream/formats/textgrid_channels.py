"""One TextGrid of several channels, a tier for each: who speaks when, at a glance."""

from collections.abc import Sequence

from .document import Document
from .options import Options
from .textgrid import write_tiers
from .units import intervals, tier


def write_channels(documents: Sequence[Document], options: Options) -> bytes:
    """The channels of one recording, under their numbers; a recording of one channel has one tier."""
    tiers = {
        f"{tier(options)} {document.channel}": [
            (entry.symbol, entry.start, entry.end) for entry in intervals(document, options)
        ]
        for document in documents
    }
    return write_tiers(tiers, max(document.seconds for document in documents))
