"""Which recordings make up which step, and the tensors they become: a pure function of seed and step.

Nothing here keeps a generator's state, so a run resumed in the middle of an epoch sees what it would have seen.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from ...streaming.audio.samples import SAMPLE_RATE
from ..corpora.rows import frames_needed
from ..lexicon.lexicon import bundled
from ..lexicon.phones import PHONES, decode, encode
from ..lexicon.split import split_into_words
from ..model.encoder import FRAME, pad
from ..model.frontend import HOP, LogMel
from .audio_cache import CachedCorpus, Utterance
from .augment import Noises, augment, feature_mask, speechless, vocal_tract
from .channel import Samples
from .config import TrainConfig
from .distributed import SINGLE_PROCESS, Processes
from .leads import draw_lead, leads
from .pauses import put_pauses
from .single_words import of_single_words, single_words
from .teacher.rows import TeacherRows

LENGTH_JITTER = 0.15  # recordings within this factor of one length may share a batch


@dataclass(frozen=True)
class Batch:
    """One process's share of one step."""

    step: int
    epoch: float  # passes over the data before this step
    audio: Tensor  # [batch, samples]
    mask: Tensor  # bool [views * batch, mels, samples / 160], True where hidden; all recordings, view by view
    # float32 [leads, samples], audio before the recordings; None: all begin with a fresh state
    leads: Tensor | None
    lead_index: Tensor  # int64 [batch], which of `leads` each recording follows, or -1
    filters: Tensor | None  # float32 [views * batch, bins, mels], as `LogMel.warped`; None: the front end's
    rows: Tensor  # int64 [batch], CTC rows of each recording
    targets: Tensor  # int64 [sum of phones]
    phones: Tensor  # int64 [batch], phones of each recording
    seconds: float  # of audio
    teacher: Tensor | None = None  # float32 [batch, rows, phones + 1], probabilities from a file of rows
    taught: Tensor | None = None  # bool [batch], of which recordings `teacher` has rows
    single_words: bool = False  # whether each recording is one word
    weight: float = 1.0  # 0: a placeholder, since there is no recording for this process in this step


def epoch_plan(lengths: NDArray[np.int64], longest: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices of recordings in batches of like length, `longest` samples at most with padding, in random order."""
    rng = np.random.default_rng([seed, epoch, 1])
    order = np.argsort(lengths * rng.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, len(lengths)))
    batches: list[list[int]] = [[]]
    widest = 0
    for index in order.tolist():
        widest = max(widest, int(lengths[index]))
        if batches[-1] and widest * (len(batches[-1]) + 1) > longest:
            batches.append([])
            widest = int(lengths[index])
        batches[-1].append(index)
    rng.shuffle(batches)
    return batches


class Taught(NamedTuple):
    """What a teacher's file has of a recording."""

    rows: NDArray[np.float32]  # probabilities `[rows, phones + 1]`
    speed: float  # by which the recording was made faster since


class Drawn(NamedTuple):
    """A recording of a step, or a word cut out of one, as it is learnt from."""

    samples: Samples
    labels: tuple[int, ...]
    taught: Taught | None
    rng: Generator  # of the recording's own draws


class Batches:
    """The steps of a run over one corpus: of each step's recordings, the share of this process.

    What a recording becomes depends on seed and step alone, so that the number of processes does not change the step.
    """

    def __init__(
        self,
        corpus: CachedCorpus,
        noises: Noises,
        config: TrainConfig,
        processes: Processes = SINGLE_PROCESS,
        teacher_rows: TeacherRows | None = None,
    ) -> None:
        self.corpus = corpus
        self._teacher_rows = teacher_rows
        self.noises = replace(noises, voices=self._voice)
        self.config = config
        self._processes = processes
        self._frontend = LogMel(config.model.mels)
        self._lengths = np.array([utterance.samples for utterance in corpus.utterances], np.int64)
        self._epoch = 0
        self._first = 0  # step with which the current epoch starts
        self._plan = self._plan_of(0)

    def _voice(self, rng: Generator) -> NDArray[np.float32]:
        """Any recording of the corpus."""
        return self.corpus.audio(self.corpus.utterances[int(rng.integers(len(self.corpus.utterances)))])

    def _plan_of(self, epoch: int) -> list[list[int]]:
        look_ahead = self.config.model.look_ahead_frames * FRAME
        longest = int(self.config.batch_seconds * SAMPLE_RATE)
        return epoch_plan(self._lengths + look_ahead, longest, self.config.seed, epoch)

    def recordings(self, step: int) -> tuple[float, list[Utterance]]:
        """Epochs passed before `step`, and its recordings."""
        if step < self._first:
            self._epoch, self._first, self._plan = 0, 0, self._plan_of(0)
        while step >= self._first + len(self._plan):
            self._first += len(self._plan)
            self._epoch += 1
            self._plan = self._plan_of(self._epoch)
        position = step - self._first
        utterances = [self.corpus.utterances[index] for index in self._plan[position]]
        return self._epoch + position / len(self._plan), utterances

    def batch(self, step: int) -> Batch:
        """The tensors of `step`."""
        epoch, of_all = self.recordings(step)
        chosen = self._processes.shard(of_all)
        idle = not chosen
        if idle:  # fewer recordings than processes: this one keeps step with the others, for nothing
            chosen = of_all[:1]
        config = self.config
        drawn = self._single_words(step, chosen)
        single = bool(drawn)
        if not single and not idle:  # nor where all words of the step are in other processes' recordings
            idle = bool(self._single_words(step, of_all))
        drawn = drawn or [
            self._recording(utterance, self._generator(step, utterance)) for utterance in chosen
        ]
        recordings = [torch.from_numpy(one.samples) for one in drawn]
        generators = [one.rng for one in drawn]
        chosen_leads = [draw_lead(config.augment, rng) for rng in generators]
        audio = pad(recordings, config.model.look_ahead_frames)
        # A mask may hide all of a phone, which in a single word nothing else tells.
        masks = replace(config.augment, time_masks_per_second=0.0) if single else config.augment
        mask = np.zeros((config.views, len(recordings), config.model.mels, audio.shape[1] // HOP), np.bool_)
        for view in mask:
            for row, recording, rng in zip(view, recordings, generators, strict=True):
                frames = len(recording) // HOP
                row[:, :frames] = feature_mask(config.model.mels, frames, masks, rng)
        rows = [-(-len(one.samples) // FRAME) * config.model.rows_per_frame for one in drawn]
        teacher, has_rows = self._targets([one.taught for one in drawn], rows)
        voices = [vocal_tract(config.augment, rng) for _ in range(config.views) for rng in generators]
        changed = any(voice != 1.0 for voice in voices)
        return Batch(
            step=step,
            epoch=epoch,
            audio=audio,
            mask=torch.from_numpy(mask).flatten(0, 1),
            leads=leads(
                config.augment, self.noises, self._voice, np.random.default_rng([config.seed, step, 4])
            ),
            lead_index=torch.tensor(chosen_leads),
            filters=torch.stack([self._frontend.warped(voice) for voice in voices]) if changed else None,
            rows=torch.tensor(rows),
            targets=torch.tensor([label for one in drawn for label in one.labels], dtype=torch.int64),
            phones=torch.tensor([len(one.labels) for one in drawn]),
            seconds=0.0 if idle else sum(map(len, recordings)) / SAMPLE_RATE,
            teacher=teacher,
            taught=has_rows,
            single_words=single,
            weight=0.0 if idle else 1.0,
        )

    def _generator(self, step: int, utterance: Utterance) -> Generator:
        """What is drawn for a recording in a step."""
        return np.random.default_rng([self.config.seed, step, utterance.offset, 2])

    def _single_words(self, step: int, chosen: Sequence[Utterance]) -> list[Drawn]:
        """What a step of single words takes of the recordings; nothing in other steps."""
        taught = self._teacher_rows
        if taught is None or not of_single_words(self.config, step):
            return []
        found = []
        for utterance in chosen:
            if utterance.id in taught:
                rng = self._generator(step, utterance)
                samples, dense = self.corpus.audio(utterance), taught.dense(utterance.id)
                words = single_words(samples, _words(utterance), dense, taught.row_seconds, self.noises, rng)
                found += [self._augmented(word.samples, word.labels, word.rows, rng) for word in words]
        return found

    def _recording(self, utterance: Utterance, rng: Generator) -> Drawn:
        """A whole recording, or noise in its place."""
        noise = speechless(utterance.samples, self.config.augment, self.noises, rng)
        if noise is not None:
            return Drawn(noise, (), None, rng)
        return self._augmented(*self._with_pauses(utterance, rng), rng)

    def _augmented(
        self, plain: Samples, labels: tuple[int, ...], dense: NDArray[np.float32] | None, rng: Generator
    ) -> Drawn:
        samples = augment(plain, self.config.augment, self.noises, rng)
        taught = None if dense is None else Taught(dense, len(plain) / len(samples))
        least = FRAME * -(-frames_needed(labels) // self.config.model.rows_per_frame)
        if len(samples) < least:  # sped up beyond what CTC can spell
            samples = np.pad(samples, (0, least - len(samples)))
        return Drawn(samples, labels, taught, rng)

    def _with_pauses(
        self, utterance: Utterance, rng: Generator
    ) -> tuple[Samples, tuple[int, ...], NDArray[np.float32] | None]:
        """Samples, labels and the teacher's rows (None: it has none) of a recording, perhaps with pauses."""
        samples = self.corpus.audio(utterance)
        if self._teacher_rows is None or utterance.id not in self._teacher_rows:
            return samples, utterance.labels, None
        dense = self._teacher_rows.dense(utterance.id)
        words = partial(_words, utterance)
        spaced = put_pauses(samples, words, dense, self._teacher_rows.row_seconds, self.config.augment, rng)
        return spaced or (samples, utterance.labels, dense)

    def _targets(
        self, taught: Sequence[Taught | None], rows: Sequence[int]
    ) -> tuple[Tensor | None, Tensor | None]:
        """`Batch.teacher` and `Batch.taught`; None without a file of a teacher's rows."""
        if self._teacher_rows is None:
            return None, None
        row_seconds = FRAME / SAMPLE_RATE / self.config.model.rows_per_frame
        targets = torch.zeros(len(taught), max(rows), len(PHONES) + 1)
        for index, (known, count) in enumerate(zip(taught, rows, strict=True)):
            if known is not None:
                found = self._teacher_rows.targets(known.rows, count, row_seconds, known.speed)
                targets[index, :count] = torch.from_numpy(found)
        return targets, torch.tensor([known is not None for known in taught])

    def steps(self, first: int, last: int) -> Iterator[Batch]:
        """Batches of steps `first … last - 1`, each made in the background during the step before it."""
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self.batch, first) if first < last else None
            for step in range(first, last):
                assert coming is not None
                batch = coming.result()
                coming = pool.submit(self.batch, step + 1) if step + 1 < last else None
                yield batch


def _words(utterance: Utterance) -> list[list[int]]:
    """CTC labels of each word's phones; none where the phones are not those that the lexicon has for the words."""
    return [encode(word) for word in split_into_words(utterance.text, decode(utterance.labels), bundled())]
