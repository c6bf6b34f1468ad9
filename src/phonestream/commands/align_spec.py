"""How `phonestream align` aligns, alike for one recording and for a folder of them."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from ..errors import AudioError, DataError
from .align_output import remarks, render, render_channels
from .align_recording import Computed, Said, Speaker, align_said, compute, read_speakers, read_transcript
from .output import native_remarks_off

if TYPE_CHECKING:
    from ..asr.align.alignment import Alignment
    from ..asr.lexicon.lexicon import Lexicon
    from ..formats.options import Options
    from ..streaming.recognizer import Recognizer

Channel: TypeAlias = int | Literal["mix", "tiers"]
"""Which channel is aligned: a number from 1 on, all of them mixed, or each with a tier of the transcript. The tiers are
speakers where there is one channel."""


class Aligned(NamedTuple):
    """What one speaker says, aligned; the fields that name them are None where there is one alone."""

    alignment: "Alignment"
    channel: int | None = None
    """Of the recording, or the tier's place among others; from 1 on."""
    speaker: str | None = None


class AlignSpec(NamedTuple):
    """How recordings are aligned."""

    model: str
    threads: int
    form: str
    """The name of a format."""
    options: "Options"
    phonemes: bool
    dictionary: "str | Lexicon | None"
    """Its file, or what was read of it; None for the bundled one."""
    time_shifts: int
    channel: Channel
    tier: str | None
    """The name of that with the utterances, in TextGrids."""
    refuse: bool
    """Whether a transcript that does not fit is an error."""

    def open(self) -> "Opened":
        """The model and the dictionary.

        Raises:
            ModelError, DataError: one of them cannot be used.
        """
        from ..asr.lexicon.lexicon import Lexicon
        from ..streaming.recognizer import Recognizer

        lexicon = Lexicon(self.dictionary) if isinstance(self.dictionary, str) else self.dictionary
        return Opened(self, Recognizer(self.model, threads=self.threads), lexicon)

    def read(self, transcript: str) -> list[Speaker]:
        """Who says what, in a file or, for -, on standard input.

        Raises:
            DataError: as `read_speakers` and `read_transcript`.
        """
        if self.channel == "tiers":
            return read_speakers(transcript)
        return [read_transcript(transcript, self.tier)]

    def render(self, aligned: Sequence[Aligned], file: str, folder: str | None) -> bytes:
        """The result of a recording as a file in `folder`, which formats may name others from.

        Raises:
            ConfigError: the phone set lacks a phone.
        """
        options = replace(self.options, folder=folder)
        if self.channel == "tiers":
            return render_channels(aligned, file, options)
        return render(aligned[0].alignment, file, self.form, options)


class Opened(NamedTuple):
    """What recordings are aligned with."""

    spec: AlignSpec
    recognizer: "Recognizer"
    lexicon: "Lexicon | None"

    def align(
        self,
        file: str,
        speakers: Sequence[Speaker],
        *,
        transcript: str,
        tell: Callable[[str], object],
        progress: Callable[[float, float | None], object],
    ) -> list[Aligned]:
        """Align a recording: with `tiers` all of `speakers`, each in a channel or all in one; else `channel`.

        Args:
            transcript: its name, for errors.
            tell: called with what a person should know of the recording, in lines that name it, each once.
            progress: see `compute`.

        Raises:
            AudioError, DataError: as `align_said`, or there are several channels, and not as many as tiers.
        """
        told: set[str] = set()

        @cache
        def posteriors(number: int | None) -> Computed:
            computed = compute(self.recognizer, file, self.spec.time_shifts, number, progress)
            for remark in computed.remarks:
                if remark not in told:
                    tell(remark)
            told.update(computed.remarks)
            return computed

        def aligned(said: Sequence[Said], number: int | None) -> "Alignment":
            return align_said(
                self.recognizer,
                said,
                partial(posteriors, number),
                names=(transcript, file),
                phonemes=self.spec.phonemes,
                lexicon=self.lexicon,
                refuse=self.spec.refuse,
            )

        channel = self.spec.channel
        if channel != "tiers":
            number = None if channel == "mix" else channel
            return [Aligned(aligned(speaker.said, number)) for speaker in speakers]
        count = _channels(file)
        if count not in (1, len(speakers)):
            raise DataError(
                f"{file}: has {count} channels, and {transcript} {len(speakers)} tiers with text: give one a channel"
            )
        names = {speaker.name.strip() for speaker in speakers} - {""}
        named = count == 1 and len(names) == len(speakers)  # else numbers tell them apart
        return [
            Aligned(aligned(said, None if count == 1 else place), place, name.strip() if named else None)
            for place, (name, said) in enumerate(speakers, start=1)
        ]


def _channels(file: str) -> int:
    """How many a recording has.

    Raises:
        AudioError: it cannot be used, or is standard input, which cannot be read once for each.
    """
    from ..streaming.audio.files import open_audio
    from ..streaming.audio.input_file import STANDARD_INPUT

    if file == STANDARD_INPUT:
        raise AudioError("-: --channel tiers needs a file, which is read once for each channel")
    with native_remarks_off(), closing(open_audio(file)) as audio:
        return audio.channels


def misfits_of(aligned: Sequence[Aligned], file: str) -> list[str]:
    """Where a recording and its transcript differ, in lines that name it."""
    return [f"{file}: {remark}" for found in aligned for remark in remarks(found.alignment)]
