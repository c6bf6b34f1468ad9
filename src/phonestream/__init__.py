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

from .errors import (
    AudioError,
    AudioWarning,
    ConfigError,
    DataError,
    ModelError,
    PhonestreamError,
    SnapshotError,
)

if TYPE_CHECKING:
    from .asr.align.aligner import align
    from .asr.align.alignment import Alignment
    from .asr.lexicon.lexicon import Lexicon, Pronunciation, pronounce
    from .formats.document import Interval
    from .formats.tiling import tile
    from .streaming.async_stream import AsyncStream
    from .streaming.decode import Phone
    from .streaming.decoding.config import BeamSearch
    from .streaming.decoding.decoder import Hypothesis
    from .streaming.endpoint import Endpoint, EndpointConfig, EndpointRule
    from .streaming.model import bundled_models
    from .streaming.pool.many import Outcome
    from .streaming.pool.results import Heard, PoolStats, TickResult
    from .streaming.pool.scheduler import StreamPool
    from .streaming.pool.stream import PooledStream
    from .streaming.recognizer import Recognizer
    from .streaming.recording import transcribe
    from .streaming.server.client import Client, ServerError
    from .streaming.spotting.change import CommandsSet, KeywordsSet
    from .streaming.spotting.command_clip import recognize_command
    from .streaming.spotting.command_stream import CommandStream
    from .streaming.spotting.commands import CommandResult, Commands
    from .streaming.spotting.keywords import Keywords
    from .streaming.spotting.recording import spot
    from .streaming.spotting.spotter import Spotted
    from .streaming.stream import Lost, Stream

    __version__: str

__all__ = [
    "Alignment",
    "AsyncStream",
    "AudioError",
    "AudioWarning",
    "BeamSearch",
    "Client",
    "CommandResult",
    "CommandStream",
    "Commands",
    "CommandsSet",
    "ConfigError",
    "DataError",
    "Endpoint",
    "EndpointConfig",
    "EndpointRule",
    "Heard",
    "Hypothesis",
    "Interval",
    "Keywords",
    "KeywordsSet",
    "Lexicon",
    "Lost",
    "ModelError",
    "Outcome",
    "Phone",
    "PhonestreamError",
    "PoolStats",
    "PooledStream",
    "Pronunciation",
    "Recognizer",
    "ServerError",
    "SnapshotError",
    "Spotted",
    "Stream",
    "StreamPool",
    "TickResult",
    "__version__",
    "align",
    "bundled_models",
    "pronounce",
    "recognize_command",
    "spot",
    "tile",
    "transcribe",
]

# Fetched when first asked for (PEP 562), so that `phonestream --help` need not wait for ONNX Runtime to load.
_HOMES = {
    "Alignment": ".asr.align.alignment",
    "AsyncStream": ".streaming.async_stream",
    "BeamSearch": ".streaming.decoding.config",
    "Client": ".streaming.server.client",
    "CommandResult": ".streaming.spotting.commands",
    "CommandStream": ".streaming.spotting.command_stream",
    "Commands": ".streaming.spotting.commands",
    "CommandsSet": ".streaming.spotting.change",
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
    "Outcome": ".streaming.pool.many",
    "Phone": ".streaming.decode",
    "PoolStats": ".streaming.pool.results",
    "PooledStream": ".streaming.pool.stream",
    "Pronunciation": ".asr.lexicon.lexicon",
    "Recognizer": ".streaming.recognizer",
    "ServerError": ".streaming.server.client",
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
    return sorted({*globals(), *__all__})
