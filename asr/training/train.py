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
from ..corpora.corpus import load_cuts, load_samples, reference_phones, spread
from ..evaluation.score import PhoneErrors, phone_errors
from ..lexicon.phones import BLANK
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
    grown,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    start_run,
)
from .config import TrainConfig
from .consistency import disagreement
from .distillation import check_teacher, divergence, fingerprint, taught_rows
from .distributed import ALONE, Processes
from .interrupt import StopOnSignal
from .leads import led_state
from .optimisers import average, make_optimisers, peak_rates, schedule, set_rates
from .progress import Progress

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
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
    build: Callable[[EncoderConfig], Encoder] = Encoder,
    processes: Processes = ALONE,
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
        teacher: a model whose rows are learnt too, `config.distillation` of the loss; it hears the same audio.
        build: makes the encoder of `config.model`; another one than ours, to be trained alike for comparison.
        processes: among how many processes the work of every step is shared, and which of them this is.

    Returns:
        True when all steps are done; False when a signal (SIGINT, SIGTERM) asked to stop and a checkpoint was written.

    Raises:
        ConfigError: a checkpoint of another configuration, teacher or other data, or none to resume from; a teacher
            that is missing, not asked for or of other rows.
        DataError: a corpus that cannot be used.
    """
    check_teacher(teacher, config)
    if threads:
        torch.set_num_threads(threads)
    before = processes.sent(load_checkpoint(run) if resume and processes.first else None)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(run, config.steps, silent=not processes.first))
        with processes.first_alone():
            corpus = cached_corpus(
                list(load_cuts(data, "train")),
                longest_seconds=config.longest_seconds,
                report=progress.say,
                progress=progress.decoding,
            )
        dev = DevSet(data, config.evaluate_recordings, processes)
        noises = noises_of(config.augment, data)
        device = processes.device

        taught_by = "" if teacher is None else fingerprint(teacher)
        if teacher is not None:
            teacher = teacher.to(device).eval().requires_grad_(False)

        torch.manual_seed(config.seed)
        encoder = build(config.model)
        if before is None:
            if processes.first:
                start_run(run, config, corpus.digest)
            set_statistics(encoder, corpus)
            if initial is not None:
                load_weights(encoder, grown(initial, encoder), "the initial model")
        else:
            check_same(before, config, corpus.digest, taught_by, run)
            load_weights(encoder, before.encoder, str(run))
        averaged = deepcopy(encoder).requires_grad_(False)
        if before is not None:
            load_weights(averaged, before.averaged, str(run))
        encoder, averaged = encoder.to(device), averaged.to(device)
        processes.send_weights(encoder)
        processes.send_weights(averaged)
        encoder.precision = PRECISIONS[config.precision]
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
                    step, config, corpus.digest, weights, mean_weights, states, taught_by, progress.hours
                ),
            )

        for batch in Batches(corpus, noises, config, processes).steps(first, config.steps):
            share = schedule(batch.step, config)
            set_rates(optimisers, peaks, share)
            loss, norm = learn(encoder, batch, config, device, teacher, processes)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise ConfigError(
                    f"{run}: the loss or its gradient is not finite at step {batch.step}; "
                    "lower the learning rate; the last checkpoint is untouched"
                )
            for optimiser in optimisers:
                optimiser.step()
            average(averaged, encoder, batch.step, config.average_decay)
            progress.step(batch.step, batch.epoch, loss, norm, share, processes.sum(batch.seconds))

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


def learn(
    encoder: Encoder,
    batch: Batch,
    config: TrainConfig,
    device: torch.device,
    teacher: Encoder | None = None,
    processes: Processes = ALONE,
) -> tuple[float, float]:
    """One forward and backward pass: leaves clipped gradients, returns loss per phone and the gradient's norm.

    Loss and gradients are those of the whole step, whichever share of it each process has learnt from.
    """
    draws = np.random.default_rng([config.seed, batch.step, 3])
    keep = (draws.random(config.model.layers) >= config.layer_drop).tolist()
    torch.manual_seed(int(draws.integers(2**62)) + processes.rank)  # dropout
    for parameter in encoder.parameters():
        parameter.grad = None
    count = config.views
    rows = batch.rows.repeat(count)
    early: list[Tensor] = []
    log_probs = encoder.offline(
        batch.audio.to(device).repeat(count, 1),
        state=None if batch.leads is None else led_state(encoder, batch.leads, batch.lead_of.repeat(count)),
        feature_mask=batch.mask.to(device),
        filters=None if batch.filters is None else batch.filters.to(device),
        intermediate=early,
        keep_blocks=keep,
        frames=(rows // config.model.rows_per_frame + config.model.look_ahead_frames).to(device),
        dropout=config.dropout,
    )
    targets, phones_each = batch.targets.to(device).repeat(count), batch.phones.repeat(count)
    total, *sooner = (
        functional.ctc_loss(heard.transpose(0, 1), targets, rows, phones_each, blank=BLANK, reduction="sum")
        for heard in (log_probs, *map(encoder.in_time, early if config.intermediate > 0 else []))
    )
    if teacher is not None:
        far = divergence(log_probs, taught_rows(teacher, batch).repeat(count, 1, 1), rows)
        total = (1 - config.distillation) * total + config.distillation * far
    for loss_sooner in sooner:
        total = (1 - config.intermediate) * total + config.intermediate * loss_sooner
    total = total / count
    if config.consistency > 0:
        total = total + config.consistency * disagreement(log_probs, batch.rows)
    phones = processes.sum(batch.weight * batch.phones.sum().item())
    loss = batch.weight * total / max(phones, 1.0)
    loss.backward()  # type: ignore[no-untyped-call]
    processes.add_gradients(encoder.parameters())
    norm = torch.nn.utils.clip_grad_norm_(encoder.parameters(), config.clip_norm)
    return processes.sum(loss.item()), norm.item()


class DevSet:
    """Recordings of the dev split, evenly spread, with their reference phones: each process has its share."""

    def __init__(self, data: Path, count: int, processes: Processes = ALONE) -> None:
        cuts = list(load_cuts(data, "dev"))
        cuts = processes.share(spread(cuts, count) if count > 0 else cuts)
        self._processes = processes
        self.samples: list[NDArray[np.float32]] = [load_samples(cut) for cut in cuts]
        self.references = [reference_phones(cut) for cut in cuts]

    def errors(self, encoder: Encoder) -> PhoneErrors:
        """Greedy phone errors of `encoder`, over all recordings of all processes."""
        rows = encoder_log_probs(encoder, self.samples)
        errors = sum(
            (
                phone_errors(reference, greedy_phones(row))
                for reference, row in zip(self.references, rows, strict=True)
            ),
            PhoneErrors(),
        )
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
