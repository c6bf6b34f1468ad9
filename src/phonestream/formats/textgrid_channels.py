"""One TextGrid of several channels or speakers, with tiers for each: who speaks when, at a glance."""

from collections.abc import Sequence

from .document import Document
from .options import Options
from .textgrid import tiers_of, write_tiers


def write_channels(documents: Sequence[Document], options: Options) -> bytes:
    """The tiers of each channel of a recording, under its number, or under its speaker's name."""
    tiers = {
        f"{document.speaker} - {name}" if document.speaker else f"{name} {document.channel}": labels
        for document in documents
        for name, labels in tiers_of(document, options).items()
    }
    return write_tiers(tiers, max(document.seconds for document in documents))
