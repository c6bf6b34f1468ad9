"""Forced alignment by pocketsphinx: reference times that are independent of our models."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...streaming.decode import Phone
from .score import matches

if TYPE_CHECKING:
    from pocketsphinx import Decoder

FRAME_SECONDS = 0.01  # of pocketsphinx's alignment


class Aligned(NamedTuple):
    """A phone and its acoustic extent in seconds."""

    symbol: str
    start: float
    end: float


def pocketsphinx_aligner() -> "Decoder":
    """pocketsphinx with its English model, for `forced_alignment`.

    Raises:
        ModuleNotFoundError: it is not installed; the extra `bench` brings it.
    """
    from pocketsphinx import Decoder

    return Decoder(bestpath=False, lm=None, loglevel="FATAL")


def forced_alignment(decoder: "Decoder", text: str, samples: NDArray[np.float32]) -> list[Aligned]:
    """Phones of `text` in `samples` [n] at 16 kHz, silences left out.

    Empty where there is none: a word that pocketsphinx's dictionary lacks, or no path through the audio.
    """
    words = text.lower().split()
    if not words or any(decoder.lookup_word(word) is None for word in words):
        return []
    data = (samples.clip(-1, 1) * 32767).astype(np.int16).tobytes()
    try:
        decoder.set_align_text(" ".join(words))
        _run(decoder, data)  # words first ...
        if decoder.hyp() is None:
            return []
        decoder.set_alignment()
        _run(decoder, data)  # ... then the phones within them; there is no hyp() to ask for after this pass
    except RuntimeError:  # no path
        return []
    return [
        Aligned(phone.name, phone.start * FRAME_SECONDS, (phone.start + phone.duration) * FRAME_SECONDS)
        for word in decoder.get_alignment()
        for phone in word
        if phone.name != "SIL"
    ]


def match_phones(reference: Sequence[Aligned], decoded: Sequence[Phone]) -> Iterator[tuple[Aligned, Phone]]:
    """Pairs of a reference phone and the decoded phone that matches it in their edit-distance alignment."""
    for said, heard in matches([phone.symbol for phone in reference], [phone.symbol for phone in decoded]):
        yield reference[said], decoded[heard]


def peak(phone: Phone) -> float:
    """When a phone was heard that a decoder gave, in seconds: such phones have a peak."""
    assert phone.peak is not None
    return phone.peak


def _run(decoder: "Decoder", data: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(data, full_utt=True)
    decoder.end_utt()
