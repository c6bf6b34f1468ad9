"""Streaming phoneme recognition: audio goes in a chunk at a time, phonemes with times come out.

>>> import phonestream
>>> recognizer = phonestream.Recognizer()
>>> stream = recognizer.stream()
>>> for block in blocks:                # arrays of samples at 16 kHz, of any length
...     print(stream.accept(block))     # [Phone(symbol='HH', start=0.12, end=0.2, confidence=0.98, ...), ...]
>>> print(stream.finish())
"""

from importlib import import_module
from typing import TYPE_CHECKING

# Fetched when first asked for (PEP 562), so that `phonestream --help` need not wait for ONNX Runtime to load.
_HOMES = {
    "Alignment": ".asr.align.alignment",
    "AsyncStream": ".streaming.async_stream",
    "AudioError": ".errors",
    "AudioWarning": ".errors",
    "BeamSearch": ".streaming.decoding.config",
    "Client": ".streaming.server.client",
    "CommandResult": ".streaming.spotting.commands",
    "CommandStream": ".streaming.spotting.command_stream",
    "Commands": ".streaming.spotting.commands",
    "CommandsSet": ".streaming.spotting.change",
    "ConfigError": ".errors",
    "DataError": ".errors",
    "Endpoint": ".streaming.endpoint",
    "EndpointConfig": ".streaming.endpoint",
    "EndpointRule": ".streaming.endpoint",
    "Heard": ".streaming.pool.results",
    "Hypothesis": ".streaming.decoding.decoder",
    "Interval": ".formats.document",
    "Keywords": ".streaming.spotting.keywords",
    "KeywordsSet": ".streaming.spotting.change",
    "Lexicon": ".asr.lexicon.lexicon",
    "Lost": ".streaming.stream",
    "ModelError": ".errors",
    "Outcome": ".streaming.pool.many",
    "Phone": ".streaming.decode",
    "PhonestreamError": ".errors",
    "PoolStats": ".streaming.pool.results",
    "PooledStream": ".streaming.pool.stream",
    "Pronunciation": ".asr.lexicon.lexicon",
    "Recognizer": ".streaming.recognizer",
    "ServerError": ".streaming.server.client",
    "SnapshotError": ".errors",
    "Spotted": ".streaming.spotting.spotter",
    "Stream": ".streaming.stream",
    "StreamPool": ".streaming.pool.scheduler",
    "TickResult": ".streaming.pool.results",
    "align": ".asr.align.aligner",
    "bundled_models": ".streaming.model",
    "pronounce": ".asr.lexicon.lexicon",
    "recognize_command": ".streaming.spotting.command_clip",
    "spot": ".streaming.spotting.recording",
    "tile": ".formats.tiling",
    "transcribe": ".streaming.recording",
}

if TYPE_CHECKING:
    from .asr.align.aligner import align as align
    from .asr.align.alignment import Alignment as Alignment
    from .asr.lexicon.lexicon import Lexicon as Lexicon
    from .asr.lexicon.lexicon import Pronunciation as Pronunciation
    from .asr.lexicon.lexicon import pronounce as pronounce
    from .errors import AudioError as AudioError
    from .errors import AudioWarning as AudioWarning
    from .errors import ConfigError as ConfigError
    from .errors import DataError as DataError
    from .errors import ModelError as ModelError
    from .errors import PhonestreamError as PhonestreamError
    from .errors import SnapshotError as SnapshotError
    from .formats.document import Interval as Interval
    from .formats.tiling import tile as tile
    from .streaming.async_stream import AsyncStream as AsyncStream
    from .streaming.decode import Phone as Phone
    from .streaming.decoding.config import BeamSearch as BeamSearch
    from .streaming.decoding.decoder import Hypothesis as Hypothesis
    from .streaming.endpoint import Endpoint as Endpoint
    from .streaming.endpoint import EndpointConfig as EndpointConfig
    from .streaming.endpoint import EndpointRule as EndpointRule
    from .streaming.model import bundled_models as bundled_models
    from .streaming.pool.many import Outcome as Outcome
    from .streaming.pool.results import Heard as Heard
    from .streaming.pool.results import PoolStats as PoolStats
    from .streaming.pool.results import TickResult as TickResult
    from .streaming.pool.scheduler import StreamPool as StreamPool
    from .streaming.pool.stream import PooledStream as PooledStream
    from .streaming.recognizer import Recognizer as Recognizer
    from .streaming.recording import transcribe as transcribe
    from .streaming.server.client import Client as Client
    from .streaming.server.client import ServerError as ServerError
    from .streaming.spotting.change import CommandsSet as CommandsSet
    from .streaming.spotting.change import KeywordsSet as KeywordsSet
    from .streaming.spotting.command_clip import recognize_command as recognize_command
    from .streaming.spotting.command_stream import CommandStream as CommandStream
    from .streaming.spotting.commands import CommandResult as CommandResult
    from .streaming.spotting.commands import Commands as Commands
    from .streaming.spotting.keywords import Keywords as Keywords
    from .streaming.spotting.recording import spot as spot
    from .streaming.spotting.spotter import Spotted as Spotted
    from .streaming.stream import Lost as Lost
    from .streaming.stream import Stream as Stream

    __version__: str
else:  # type checkers read it off the imports above
    __all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        value: object = version(__name__)
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name], __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "__version__"})
