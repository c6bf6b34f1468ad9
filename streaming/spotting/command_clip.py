"""A command in a recording of its own."""

from collections.abc import Iterable
from contextlib import closing
from os import PathLike, fspath

import numpy as np

from ...errors import AudioError
from ..arrays import FloatArray
from ..audio.channels import Mixed, warn_of_audio
from ..audio.files import open_audio
from ..audio.recording import Audio
from ..audio.samples import mono
from ..recognizer import Recognizer
from .commands import CommandRecognizer, CommandResult, Commands

MAX_SECONDS = 30.0
LEVEL = 0.12  # root mean square of the loudest quarter of the samples: a clip may be faint, its loudness says nothing
PAUSE_SECONDS = 0.5


def recognize_command(
    path: str | PathLike[str], commands: Commands, recognizer: Recognizer | None = None
) -> CommandResult:
    """Which command an audio file is, its channels mixed. Warns (`AudioWarning`) as `Recognizer.transcribe_file`.

    Args:
        path: of the file, at most 30 s.
        commands: the closed list.
        recognizer: hears it; the bundled model by default.

    Raises:
        AudioError: the file cannot be used, or is too long.
        ConfigError: commands in phones that the model has not.
    """
    recognizer = recognizer or Recognizer(decoder="greedy")
    ready = CommandRecognizer(recognizer.metadata.decoder, commands)
    with closing(Mixed(open_audio(fspath(path)))) as audio:
        samples = mono(read_clip(audio.blocks(), audio))
        warn_of_audio(*(f"{audio.path}: {remark}" for remark in audio.remarks))
    return ready.recognize(*hear_clip(samples, audio.sample_rate, recognizer))


def read_clip(blocks: Iterable[FloatArray], audio: Audio) -> FloatArray:
    """The samples [n, channels] in `blocks` of a recording, all of them.

    Raises:
        AudioError: it breaks off, is damaged, has no samples or is longer than 30 s.
    """
    parts: list[FloatArray] = []
    length = 0
    for block in blocks:
        parts.append(block)
        length += len(block)
        if length > MAX_SECONDS * audio.sample_rate:
            raise AudioError(
                f"{audio.path}: longer than {MAX_SECONDS:g} s: a command is one utterance: cut it, or look for keywords"
            )
    if not length:
        raise AudioError(f"{audio.path}: holds no samples")
    return np.concatenate(parts)


def hear_clip(samples: FloatArray, sample_rate: int, recognizer: Recognizer) -> tuple[FloatArray, FloatArray]:
    """The rows [n, columns] of a clip [samples] as it is heard first, and of the same clip heard again.

    The model is better at a voice, and at noise, that it has heard before. Loudness is levelled.
    """
    quarter = max(1, len(samples) // 4)
    loudest = np.partition(samples.astype(np.float64) ** 2, -quarter)[-quarter:]
    level = float(np.sqrt(loudest.mean()))
    levelled = np.clip(samples * (LEVEL / level), -1, 1).astype(np.float32) if level > 0 else samples
    pause = np.zeros(round(PAUSE_SECONDS * sample_rate), np.float32)
    both = recognizer.log_probs(np.concatenate([levelled, pause, levelled]), sample_rate)
    meta = recognizer.metadata
    frames = -(-len(samples) * meta.sample_rate // (sample_rate * meta.frame_samples))
    rows = frames * meta.rows_per_frame
    return both[:rows], both[-rows:]
