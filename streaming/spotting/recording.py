"""Keywords in a whole recording."""

from contextlib import closing
from os import PathLike, fspath

from ..audio.channels import Mixed, warn_of_audio
from ..audio.files import open_audio
from ..audio.recording import Audio
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
    with closing(Mixed(open_audio(fspath(path)))) as audio:
        return spot_audio(audio, keywords, recognizer or Recognizer(decoder="greedy"))[1]


def spot_audio(audio: Audio, keywords: Keywords, recognizer: Recognizer) -> tuple[float, list[Spotted]]:
    """`spot` for an open file: its seconds, and the keywords in it.

    Raises:
        AudioError: it breaks off, is damaged or has no samples.
    """
    stream = recognizer.stream(decoder="greedy", keywords=keywords)
    events = []
    with closing(audio):
        for block in audio.blocks():
            events += stream.accept(mix_block(block), audio.sample_rate)
        warn_of_audio(*(f"{audio.path}: {remark}" for remark in audio.remarks))
    events += stream.finish()
    return stream.seconds, [event for event in events if isinstance(event, Spotted)]
