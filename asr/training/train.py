"""Training: one page from a configuration to a run folder that can be resumed, evaluated and exported."""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import astuple
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...errors import ConfigError
from ..corpora.corpus import load_cuts, load_samples, reference_phones, share_of_corpora, spread
from ..evaluation.score import PhoneErrors, total_errors
from ..model.config import EncoderConfig
from ..model.encoder import Encoder, pad
from ..model.frontend import CARRY
from ..model.offline import encoder_log_probs, greedy_phones
from .audio_cache import CachedCorpus, cached_corpus
from .augment import noises_of
from .batches import Batch, Batches
from .checkpoint import (
    Checkpoint,
    check_same,
    expand_weights,
    load_checkpoint,
    load_weights,
    record_precision,
    save_checkpoint,
    start_run,
)
from .config import TrainConfig
from .distillation import check_teacher, fingerprint, teacher_log_probs, trusted_rows
from .distributed import SINGLE_PROCESS, Processes
from .expected_errors import expected_errors_loss
from .interrupt import StopOnSignal
from .leads import lead_state
from .losses import StepResult, consistency_loss, ctc_loss, distillation_loss, loss_weights, teacher_rows_loss
from .optimisers import average, make_optimisers, peak_rates, schedule, set_rates
from .precision import DTYPES, choose_precision
from .progress import Progress
from .single_words import of_single_words
from .teacher.rows import TeacherRows
from .word_discrimination import word_discrimination_loss

STATISTICS_RECORDINGS = 400  # from which the features' mean and variance are taken


def train(
    config: TrainConfig,
    run: Path,
    data: Path,
    *,
    resume: bool = False,
    threads: int | None = None,
    initial: dict[str, Tensor] | None = None,
    teacher: Encoder | None = None,
    teacher_rows: TeacherRows | None = None,
    build: Callable[[EncoderConfig], Encoder] = Encoder,
    processes: Processes = SINGLE_PROCESS,
) -> bool:
    """Train an encoder on `data`'s train split; measure it on its dev split.

    Args:
        config: what to train and how.
        run: folder for checkpoints, the record of losses and TensorBoard's events.
        data: a folder made by `phonestream prepare`, or one with a manifest.tsv.
        resume: go on from the checkpoint in `run`, on the trajectory of a run that was never stopped.
        threads: for torch on the CPU; None leaves torch's own choice.
        initial: weights to start from instead of random ones; with fewer CTC rows a frame than `config` has, every
            row starts as a copy of them.
        teacher: a model whose rows are learnt too, `config.distillation` of the loss; its input is the same audio.
        teacher_rows: in place of `teacher`, rows from a file: those of the recordings as they are, whatever is done to
            the student's audio. A recording that has none there, or too many errors, has its transcript alone.
        build: makes the encoder of `config.model`; another one than ours, to be trained alike for comparison.
        processes: among how many processes the work of every step is shared, and which of them this is.

    Returns:
        True when all steps are done; False when a signal (SIGINT, SIGTERM) asked to stop and a checkpoint was written.

    Raises:
        ConfigError: a checkpoint of another configuration, teacher or other data, or none to resume from; a teacher
            that is missing, not asked for or of other rows; a share of a corpus that there is not.
        DataError: a corpus that cannot be used.
    """
    check_teacher(teacher, config, teacher_rows)
    if threads:
        torch.set_num_threads(threads)
    before = processes.broadcast(load_checkpoint(run) if resume and processes.first else None)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(run, config.steps, silent=not processes.first))
        with processes.main_process_first():
            corpus = cached_corpus(
                share_of_corpora(load_cuts(data, "train"), config.corpus_shares),
                longest_seconds=config.longest_seconds,
                report=progress.say,
                progress=progress.decoding,
            )
        dev = DevSet(data, config.evaluate_recordings, processes)
        noises = noises_of(config.augment, data)
        device = processes.device

        teacher_digest = "" if teacher is None else fingerprint(teacher)
        if teacher_rows is not None:
            teacher_digest = teacher_rows.digest
            teacher_rows = trusted_rows(teacher_rows, corpus, config.teacher_errors, progress.say)
        if teacher is not None:
            teacher = teacher.to(device).eval().requires_grad_(False)

        torch.manual_seed(config.seed)
        encoder = build(config.model)
        precision = choose_precision(config.precision, processes)
        progress.say(f"precision of matrix products: {precision}")
        if before is None:
            if processes.first:
                start_run(run, config, corpus.digest, precision)
            set_statistics(encoder, corpus)
            if initial is not None:
                load_weights(encoder, expand_weights(initial, encoder), "the initial model")
        else:
            check_same(before, config, corpus.digest, teacher_digest, run)
            if processes.first:
                record_precision(run, before.step, precision)
            load_weights(encoder, before.encoder, str(run))
        averaged = deepcopy(encoder).requires_grad_(False)
        if before is not None:
            load_weights(averaged, before.averaged, str(run))
        encoder, averaged = encoder.to(device), averaged.to(device)
        processes.broadcast_weights(encoder)
        processes.broadcast_weights(averaged)
        encoder.precision = DTYPES[precision]  # of the training copy alone: dev is measured in float32
        optimisers = make_optimisers(encoder, config)
        peaks = peak_rates(optimisers)
        if before is not None:
            for optimiser, saved in zip(optimisers, before.optimisers, strict=True):
                optimiser.load_state_dict(saved)

        first = before.step if before else 0
        progress.start(first, before.hours if before else 0.0)
        stop = stack.enter_context(StopOnSignal())
        saved_at = time.monotonic()

        def save(step: int) -> None:
            if not processes.first:
                return
            states = [optimiser.state_dict() for optimiser in optimisers]
            weights, mean_weights = encoder.state_dict(), averaged.state_dict()
            save_checkpoint(
                run,
                Checkpoint(
                    step, config, corpus.digest, weights, mean_weights, states, teacher_digest, progress.hours
                ),
            )

        for batch in Batches(corpus, noises, config, processes, teacher_rows).steps(first, config.steps):
            share = schedule(batch.step, config)
            set_rates(optimisers, peaks, share)
            result = training_step(encoder, batch, config, device, teacher, processes)
            if not (math.isfinite(result.loss) and math.isfinite(result.gradient_norm)):
                raise ConfigError(
                    f"{run}: the loss or its gradient is not finite at step {batch.step}; "
                    "lower the learning rate; the last checkpoint is untouched"
                )
            for optimiser in optimisers:
                optimiser.step()
            average(averaged, encoder, batch.step, config.average_decay)
            progress.step(batch.step, batch.epoch, result, share, processes.sum(batch.seconds))

            done = batch.step + 1
            if done % config.evaluate_every == 0 or done == config.steps:
                progress.dev(done, dev.errors(averaged))
            if processes.any(stop.requested) or done == config.steps:
                save(done)
                return done == config.steps
            if time.monotonic() - saved_at > 60 * config.checkpoint_minutes:
                try:
                    save(done)
                except ConfigError as error:  # a full disk must not cost the run
                    progress.say(f"warning: {error}")
                saved_at = time.monotonic()
    return True


def training_step(
    encoder: Encoder,
    batch: Batch,
    config: TrainConfig,
    device: torch.device,
    teacher: Encoder | None = None,
    processes: Processes = SINGLE_PROCESS,
) -> StepResult:
    """One forward and backward pass: leaves clipped gradients.

    Losses and gradients are those of the whole step, whichever share of it each process has computed.
    """
    draws = np.random.default_rng([config.seed, batch.step, 3])
    keep = (draws.random(config.model.layers) >= config.layer_drop).tolist()
    torch.manual_seed(int(draws.integers(2**62)) + processes.rank)  # dropout
    for parameter in encoder.parameters():
        parameter.grad = None
    views = config.views
    rows = batch.rows.repeat(views)
    intermediate: list[Tensor] = []
    log_probs = encoder.offline(
        batch.audio.to(device).repeat(views, 1),
        state=None
        if batch.leads is None
        else lead_state(encoder, batch.leads, batch.lead_index.repeat(views)),
        feature_mask=batch.mask.to(device),
        filters=None if batch.filters is None else batch.filters.to(device),
        intermediate=intermediate,
        keep_blocks=keep,
        frames=(rows // config.model.rows_per_frame + config.model.look_ahead_frames).to(device),
        dropout=config.dropout,
    )
    targets, phones_each = batch.targets.to(device).repeat(views), batch.phones.repeat(views)
    weights = loss_weights(config)
    losses: dict[str, Tensor] = {}
    if "ctc" in weights or batch.teacher is not None:
        transcripts = ctc_loss(log_probs, targets, rows, phones_each)
    if "ctc" in weights:
        losses["ctc"] = transcripts.sum()
    if "intermediate_ctc" in weights:
        early = encoder.trim_look_ahead(intermediate[0])
        losses["intermediate_ctc"] = ctc_loss(early, targets, rows, phones_each).sum()
    if "distillation" in weights and teacher is not None:
        taught = teacher_log_probs(teacher, batch).repeat(views, 1, 1)
        losses["distillation"] = distillation_loss(log_probs, taught, rows)
    elif "distillation" in weights and batch.teacher is not None and batch.taught is not None:
        targets_each = batch.teacher.to(device).repeat(views, 1, 1)
        taught_each = batch.taught.to(device).repeat(views)
        losses["distillation"] = teacher_rows_loss(log_probs, targets_each, taught_each, rows)
        losses["distillation"] += transcripts.masked_fill(taught_each, 0.0).sum()  # in place of rows
    if "consistency" in weights:
        losses["consistency"] = consistency_loss(log_probs, batch.rows)
    if "expected_errors" in weights:
        losses["expected_errors"] = expected_errors_loss(log_probs, targets, rows, phones_each)

    if "word_discrimination" in weights and of_single_words(config, batch.step):
        losses["word_discrimination"] = (
            word_discrimination_loss(log_probs, targets, rows, phones_each)
            if batch.single_words
            else log_probs.new_zeros(())  # all processes have the same parts
        )

    phones = processes.sum(batch.weight * batch.phones.sum().item())
    scale = batch.weight / max(phones, 1.0)
    total = scale * torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    processes.all_reduce_gradients(encoder.parameters())
    norm = torch.nn.utils.clip_grad_norm_(encoder.parameters(), config.clip_norm)
    return StepResult(
        loss=processes.sum(total.item()),
        gradient_norm=norm.item(),
        parts={name: processes.sum(scale * loss.item()) for name, loss in losses.items()},
    )


class DevSet:
    """Recordings of the dev split, evenly spread, with their reference phones: each process has its share."""

    def __init__(self, data: Path, count: int, processes: Processes = SINGLE_PROCESS) -> None:
        cuts = list(load_cuts(data, "dev"))
        cuts = processes.shard(spread(cuts, count) if count > 0 else cuts)
        self._processes = processes
        self.samples: list[NDArray[np.float32]] = [load_samples(cut) for cut in cuts]
        self.references = [reference_phones(cut) for cut in cuts]

    def errors(self, encoder: Encoder) -> PhoneErrors:
        """Greedy phone errors of `encoder`, over all recordings of all processes."""
        rows = encoder_log_probs(encoder, self.samples)
        errors = total_errors(self.references, map(greedy_phones, rows))
        return PhoneErrors(*(round(self._processes.sum(count)) for count in astuple(errors)))


@torch.no_grad()
def set_statistics(encoder: Encoder, corpus: CachedCorpus) -> None:
    """Set the front end's mean and scale from recordings spread evenly over `corpus`."""
    frames = []
    for utterance in spread(corpus.utterances, STATISTICS_RECORDINGS):
        audio = pad([torch.from_numpy(corpus.audio(utterance))], 0)
        frames.append(encoder.frontend.log_mel(functional.pad(audio, (CARRY, 0)))[0])
    features = torch.cat(frames, dim=1).double()
    encoder.frontend.mean.copy_(features.mean(dim=1, keepdim=True))
    encoder.frontend.scale.copy_(1 / features.std(dim=1, keepdim=True).clamp(min=1e-3))
