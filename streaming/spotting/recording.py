"""Keywords in a whole recording."""

from contextlib import closing
from os import PathLike, fspath

from ..audio.channels import Mixed, warn_of_audio
from ..audio.files import open_audio
from ..audio.samples import mix_block
from ..recognizer import Recognizer
from .keywords import Keywords
from .spotter import Spotted


def spot(
    path: str | PathLike[str], keywords: Keywords, recognizer: Recognizer | None = None
) -> list[Spotted]:
    """All keywords in an audio file, its channels mixed, in the order in which they end.

    Args:
        path: of the file.
        keywords: what to look for.
        recognizer: hears it; the bundled model by default.

    Raises:
        AudioError: the file cannot be used.
        ConfigError: keywords in phones that the model has not.
    """
    events = []
    with closing(Mixed(open_audio(fspath(path)))) as audio:
        recognizer = recognizer or Recognizer(decoder="greedy")
        stream = recognizer.stream(decoder="greedy", keywords=keywords)
        for block in audio.blocks():
            events += stream.accept(mix_block(block), audio.sample_rate)
        warn_of_audio(*(f"{audio.path}: {remark}" for remark in audio.remarks))
    events += stream.finish()
    return [event for event in events if isinstance(event, Spotted)]
