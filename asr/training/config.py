"""Configuration of training: dataclasses with units, read from TOML."""

import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...errors import ConfigError
from ...text_file import read_text
from ..model.config import EncoderConfig, at_least, check, from_dict


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to a training recording before it is learnt from. Zeros and single values switch a part off."""

    speeds: tuple[float, ...] = (1.0,)  # drawn uniformly; 1.1 is faster and higher
    gain_db: tuple[float, float] = (0.0, 0.0)  # drawn uniformly from this range
    noise_probability: float = 0.0
    noise_snr_db: tuple[float, float] = (5.0, 25.0)
    noise_dir: str = ""  # folder of audio files; relative to the data folder
    # Of the noises: synthesised music in which nobody sings, in place of the folder's
    music_share: float = 0.0
    # Of a recording's place being taken by noise alone, in which nobody speaks
    speechless_probability: float = 0.0
    room_probability: float = 0.0
    room_decay_seconds: tuple[float, float] = (0.1, 0.6)  # until the echo has fallen by 60 dB
    room_direct_db: tuple[float, float] = (0.0, 15.0)  # energy of the direct sound above the echo's
    microphone_probability: float = 0.0
    microphone_deviation_db: float = 4.0  # standard deviation of a microphone's frequency response
    telephone_probability: float = 0.0
    babble_probability: float = 0.0  # of other people speaking behind the speaker, at noise_snr_db
    lead_probability: float = 0.0  # of audio before the recording, from which only the state is kept
    lead_seconds: tuple[float, float] = (0.3, 60.0)  # drawn uniformly in the logarithm
    # Of pauses between the words, which a teacher's rows tell apart, as in a list of single words
    pause_probability: float = 0.0
    pause_seconds: tuple[float, float] = (0.1, 0.6)  # drawn uniformly
    vocal_tract: tuple[float, float] = (1.0, 1.0)  # drawn uniformly; 1.1 moves all resonances a tenth higher
    frequency_masks: int = 2
    frequency_mask_mels: int = 10  # widest frequency mask, in mel filters
    time_masks_per_second: float = 0.5
    time_mask_frames: int = 25  # longest time mask, in feature frames of 10 ms
    time_mask_share: float = 0.3  # at most this part of a recording under time masks

    def __post_init__(self) -> None:
        in_range = bool(self.speeds) and not (min(self.speeds) < 0.5 or max(self.speeds) > 2.0)
        self._check("speeds", in_range, "give factors from 0.5 to 2.0")
        decibels = "give a range within -100 to 100 dB"
        for name, least, most, wanted in (
            ("vocal_tract", 0.7, 1.4, "give factors from 0.7 to 1.4"),
            ("room_decay_seconds", 0.01, 5.0, "give seconds from 0.01 to 5"),
            ("lead_seconds", 0.04, 600, "give a range within 0.04 to 600 seconds"),
            ("pause_seconds", 0, 10, "give a range within 0 to 10 seconds"),
            ("gain_db", -100, 100, decibels),
            ("noise_snr_db", -100, 100, decibels),
            ("room_direct_db", -100, 100, decibels),
        ):
            low, high = getattr(self, name)
            self._check(name, not low > high, "the first must not be above the second")
            self._check(name, least <= low <= high <= most, wanted)
        kinds = ("noise", "speechless", "room", "microphone", "telephone", "babble", "lead", "pause")
        shares = ("music_share", "time_mask_share")
        for name in (*(f"{kind}_probability" for kind in kinds), *shares):
            self._check(name, 0 <= getattr(self, name) <= 1, "give a number from 0 to 1")
        for name in (
            "microphone_deviation_db",
            "frequency_masks",
            "frequency_mask_mels",
            "time_masks_per_second",
            "time_mask_frames",
        ):
            self._check(name, getattr(self, name) >= 0, "it must be at least 0")
        if self.needs_noises and not self.noise_dir and self.music_share < 1:
            raise ConfigError(
                "augment.noise_probability or speechless_probability is above 0 but augment.noise_dir names no "
                "folder of noises"
            )

    def _check(self, name: str, holds: bool, wanted: str) -> None:
        check(self, name, holds, wanted, "augment.")

    @property
    def needs_noises(self) -> bool:
        """Whether recordings of noise are mixed in or take a recording's place."""
        return self.noise_probability > 0 or self.speechless_probability > 0


@dataclass(frozen=True)
class TrainConfig:
    """How long, on what, and with which optimiser."""

    name: str = "phonestream"
    seed: int = 1
    # Of the blocks' matrix products; everything else is float32. "auto": bfloat16 where the processor has it.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    steps: int = 5000
    batch_seconds: float = 160.0  # audio in one step, over all processes
    # Of a corpus that is named here this share of the recordings is learnt, the same ones every time; of others all.
    corpus_shares: dict[str, float] = field(default_factory=dict)
    longest_seconds: float = 35.0  # longer recordings are left out, and counted
    optimiser: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 2e-3  # AdamW's peak
    matrix_learning_rate: float = 0.01  # Muon's peak, for the blocks' matrices
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    warmup_steps: int = 300
    cooldown_steps: int = 1500  # the rate falls in a straight line to zero over the last steps
    clip_norm: float = 5.0
    layer_drop: float = 0.1  # probability that a block is skipped in a step
    dropout: float = 0.0  # after each residual branch
    average_decay: float = 0.999  # of the exponentially averaged copy of the weights
    distillation: float = 0.0  # the teacher's share of the loss, 0 to 1; the rest is CTC's
    # A recording of which a teacher's rows in a file have more errors, as a share of its phones, is learnt from the
    # transcript alone; 1: all rows are learnt.
    teacher_errors: float = 1.0
    intermediate: float = 0.0  # the intermediate CTC head's share of the loss, 0 to 1
    # Weight of the consistency loss between two views, masked differently; 0: one view
    consistency: float = 0.0
    # Weight of the expected phone errors of sampled paths (minimum Bayes risk); 0: none
    expected_errors: float = 0.0
    # Share of the steps that are of single words cut out of recordings, as commands are; 0: none
    word_steps: float = 0.0
    # In those steps, weight of telling a word from usual ones that sound like it; 0: none
    word_discrimination: float = 0.0
    evaluate_every: int = 500  # steps between measurements of PER on dev
    evaluate_recordings: int = 100  # of dev, evenly spread; 0: all
    checkpoint_minutes: float = 5.0
    model: EncoderConfig = field(default_factory=EncoderConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        for name in ("steps", "warmup_steps", "evaluate_every"):
            at_least(self, name, 1)
        for name in ("seed", "cooldown_steps", "weight_decay", "evaluate_recordings"):
            at_least(self, name, 0)
        for name in (
            "batch_seconds",
            "longest_seconds",
            "learning_rate",
            "matrix_learning_rate",
            "clip_norm",
            "checkpoint_minutes",
        ):
            check(self, name, getattr(self, name) > 0, "it must be above 0")
        check(self, "betas", all(0 <= beta < 1 for beta in self.betas), "both must be at least 0 and below 1")
        for name in ("layer_drop", "dropout", "average_decay", "intermediate"):
            check(self, name, 0 <= getattr(self, name) < 1, "it must be at least 0 and below 1")
        for corpus, share in self.corpus_shares.items():
            if not 0 <= share <= 1:
                raise ConfigError(f"corpus_shares.{corpus} is {share}: give a share from 0 to 1")
        check(self, "word_steps", 0 <= self.word_steps <= 1, "give a share of the steps from 0 to 1")
        check(self, "distillation", 0 <= self.distillation <= 1, "give a number from 0 to 1")
        wanted = "give a share from 0 to 1; 0.25 is usual"
        check(self, "teacher_errors", 0 < self.teacher_errors <= 1, wanted)
        if self.intermediate > 0 and not self.model.self_condition_after:
            raise ConfigError(
                f"intermediate is {self.intermediate:g} but the model has no intermediate CTC head: "
                "set model.self_condition_after, or intermediate to 0"
            )
        if self.word_discrimination > 0 and self.word_steps == 0:
            raise ConfigError(
                f"word_discrimination is {self.word_discrimination:g} but no step is of single words: set word_steps "
                "to their share of the steps, or word_discrimination to 0"
            )
        for name, usual in (("consistency", 0.2), ("expected_errors", 1), ("word_discrimination", 2)):
            wanted = f"it must be at least 0 and finite; {usual} is usual"
            check(self, name, 0 <= getattr(self, name) < math.inf, wanted)

    @property
    def views(self) -> int:
        """Differently masked copies of each recording in a step."""
        return 2 if self.consistency > 0 else 1


def load_recipe(path: Path) -> tuple[TrainConfig, ...]:
    """Read the stages of a training from TOML: one for each `[[stage]]`, or a single one where there is none.

    A stage is the file's other keys and tables with the stage's own keys in place of theirs.

    Raises:
        ConfigError: the file is missing, is not TOML, has a key that does not exist, or a value of the wrong kind.
    """
    text = read_text(path, "configuration", remedy="give the path of a TOML file", kind=ConfigError)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from None
    if "stage" not in table:
        return (_config(table, str(path)),)
    overrides = table.pop("stage")
    if (
        not isinstance(overrides, list)
        or not overrides
        or not all(isinstance(one, dict) for one in overrides)
    ):
        raise ConfigError(f"{path}: stage is {overrides!r}: write each stage as a table, [[stage]]")
    return tuple(
        _config(_overridden(table, own), f"{path}: stage {number}")
        for number, own in enumerate(overrides, start=1)
    )


def _overridden(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `own`; a table in both is merged in the same way."""
    merged = dict(base)
    for key, value in own.items():
        before = base.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            value = _overridden(before, value)
        merged[key] = value
    return merged


def _config(table: dict[str, Any], where: str) -> TrainConfig:
    try:
        return from_dict(TrainConfig, table)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
