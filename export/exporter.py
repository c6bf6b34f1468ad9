"""`phonestream export`: a training run to one ONNX file that describes itself, verified before it is written."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib import metadata as distribution
from pathlib import Path

import onnx
from onnx import helper
from torch import Tensor

from ..asr.lexicon.phones import BLANK, PHONES
from ..asr.model.blocks import half_lives
from ..asr.model.config import EncoderConfig, to_dict
from ..asr.model.encoder import FRAME, Encoder, check_streams
from ..asr.training.checkpoint import expand_weights, load_checkpoint, load_weights
from ..atomic import write_atomically
from ..errors import ConfigError, ModelError, system_errors_as
from ..streaming.audio.samples import SAMPLE_RATE
from ..streaming.metadata import BATCH, ENCODER_KEY, ModelMetadata, StateSpec
from ..streaming.silence import SilenceRule, default_rule
from .graph import trace
from .quantise import Int8, quantise_weights, with_weights
from .verify import verify
from .weights import fill, read_encoder, read_model_file

PARTS = r"[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*"
VERSION = re.compile(rf"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){{2}}(-{PARTS})?(\+{PARTS})?")  # semver.org
FITTED_RECORDINGS = 200  # of dev, evenly spread; about 15,000 phones fix two numbers well enough


@dataclass(frozen=True)
class Description:
    """What a model file says about itself that the encoder does not know."""

    name: str
    version: str = "1"
    licence: str = "not stated"
    training_data: str = "not stated"
    time_offset_seconds: float = 0.0  # by which rows come later than the phones they stand for, on average
    temperature: float = 1.0  # of confidences, unless one is fitted


@dataclass(frozen=True)
class Summary:
    """What was written."""

    path: Path
    size: int  # bytes
    parameters: int
    int8: bool
    metadata: ModelMetadata
    fitted_on: int  # recordings that temperature and blank's penalty were fitted on; 0: they were not fitted
    blank_penalty: float  # nats, subtracted from blank's score
    largest_difference: float  # of a log-probability, from torch, over all chunkings and batchings tried
    again: bool = False  # made from another model file, with all that it says of itself

    def __str__(self) -> str:
        """A few lines for a person."""
        fitted = (
            f"blank penalty {self.blank_penalty:g}, confidence temperature {self.metadata.temperature:g}: "
            f"fitted on {self.fitted_on} recordings of dev"
            if self.fitted_on
            else "weights and metadata are those of the file that it was made from"
            if self.again
            else f"confidences: temperature {self.metadata.temperature:g}, not fitted; give data with a dev split"
        )
        return "\n".join(
            [
                f"{self.path}: {self.size / 1e6:.1f} MB, {self.parameters / 1e6:.2f} million parameters, "
                + ("int8 weights" if self.int8 else "float32"),
                f"verified: log-probabilities within {self.largest_difference:.1g} of torch's",
                fitted,
            ]
        )


def export(
    run: Path,
    output: Path,
    *,
    int8: bool = False,
    data: Path | None = None,
    name: str | None = None,
    version: str | None = None,
    licence: str = "not stated",
    training_data: str = "not stated",
    time_offset_seconds: float = 0.0,
    blend: Path | None = None,
    blend_share: float = 0.5,
) -> Summary:
    """Write the averaged weights of a training run as a model file.

    Args:
        run: folder of `phonestream train`.
        output: the file to write; one that is there is replaced once the new one is verified.
        int8: keep matrices as 8-bit integers, a quarter of the size.
        data: a prepared corpus, or one with a manifest.tsv, on whose dev split to fit how likely blank is against
            phones, and the temperature of confidences; without it, blank is as it was learnt, the temperature 1.
        name, licence, training_data: what the file says about itself; without a name, the configuration's.
        version: of the model, MAJOR.MINOR.PATCH as semver.org has it; without one, that of a model that was not
            released, which tells how long it was trained: 0.0.0+steps.2200.
        time_offset_seconds: by which rows come later than the phones they stand for; taken off all times.
        blend: a model file whose weights are mixed in: `blend_share` of theirs, the rest of the run's. Between a
            model and what it became on other data there are often weights better than both (Wortsman et al. 2022,
            "Robust fine-tuning of zero-shot models").

    Raises:
        ConfigError: no run there, a damaged one, an attention that cannot stream, or a version of another form.
        DataError: the data has no dev split that can be used.
        ModelError: the file cannot be written, or does not agree with torch; then there is no new file.
    """
    if version is not None and not VERSION.fullmatch(version):
        raise ConfigError(
            f"model version {version!r} is not of the form MAJOR.MINOR.PATCH: give one like 1.2.0"
        )
    checkpoint = load_checkpoint(run)
    encoder = Encoder(checkpoint.config.model)
    load_weights(encoder, checkpoint.averaged, str(run))
    if blend is not None:
        blend_weights(encoder, blend, blend_share)
    description = Description(
        name=name or checkpoint.config.name,
        version=version or f"0.0.0+steps.{checkpoint.step}",
        licence=licence,
        training_data=training_data,
        time_offset_seconds=time_offset_seconds,
    )
    return export_encoder(encoder, output, description, int8=int8, data=data)


def blend_weights(encoder: Encoder, model: Path, share: float) -> None:
    """Move the weights of `encoder` towards those of a model file, by `share` of the way.

    The file's model may have fewer blocks and narrower feed-forward layers: it counts as `expand_weights` makes it.

    Raises:
        ConfigError: a share that is not from 0 to 1, or a model of another shape.
        ModelError: the file cannot be read.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"blend share {share:g}: give a number from 0 to 1")
    other = read_encoder(model)
    own = encoder.config
    grown = replace(
        other.config,
        layers=max(own.layers, other.config.layers),
        self_condition_after=own.self_condition_after,
        feed_forward=max(own.feed_forward, other.config.feed_forward),
    )
    if grown != own:
        raise ConfigError(
            f"{model}: its encoder has another shape than the run's: blend it with its own stages only"
        )
    theirs = expand_weights(other.state_dict(), encoder)
    load_weights(deepcopy(encoder), theirs, str(model))
    mixed = {
        name: weight.lerp(theirs[name], share) if weight.is_floating_point() else weight
        for name, weight in encoder.state_dict().items()
    }
    encoder.load_state_dict(mixed)


def export_encoder(
    encoder: Encoder, output: Path, description: Description, *, int8: bool = False, data: Path | None = None
) -> Summary:
    """`export` of an encoder that is in memory."""
    check_streams(encoder)
    _check_writable(output)  # now, rather than after minutes of work
    weights = quantise_weights(encoder.state_dict()) if int8 else encoder.state_dict()
    encoder = with_weights(encoder, weights).to("cpu").eval()
    fitted_on, blank_penalty, temperature = 0, 0.0, description.temperature
    if data is not None:
        blank_penalty, temperature, fitted_on = _fit(encoder, data)
        weights = {**weights, "head.bias": encoder.head.bias.detach()}
    metadata = describe(encoder, description, temperature)

    entries = metadata.to_map() | {ENCODER_KEY: json.dumps(to_dict(encoder.config))}
    written = _write_verified(encoder, weights, entries, metadata, output)
    return replace(written, fitted_on=fitted_on, blank_penalty=blank_penalty)


def export_again(source: Path, output: Path) -> Summary:
    """Write a model file anew, with the graph that this version of Phonestream traces.

    Weights, int8 levels and scales among them, and metadata are the file's own, bit for bit.

    Raises:
        ModelError: the file cannot be read, its states are not those that its encoder has today, the new one cannot be
            written or does not agree with torch; then there is no new file.
    """
    encoder, weights, entries = read_model_file(source)
    metadata = ModelMetadata.from_map(entries)
    _check_writable(output)
    states = describe(encoder, Description(metadata.name), 1.0).states
    if metadata.states != states:
        raise ModelError(
            f"{source}: its states are not those that this version gives such an encoder: export its training run again"
        )
    return replace(_write_verified(encoder, weights, entries, metadata, output), again=True)


def _write_verified(
    encoder: Encoder,
    weights: Mapping[str, Tensor | Int8],
    entries: dict[str, str],
    metadata: ModelMetadata,
    output: Path,
) -> Summary:
    """Write the graph with `weights` and `entries`, once it agrees with `encoder`."""
    model = fill(trace(encoder.config), weights)
    model.producer_name, model.producer_version = "phonestream", distribution.version("phonestream")
    helper.set_model_props(model, entries)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    largest_difference = verify(encoder, content)
    _write(output, content)
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    int8 = any(isinstance(weight, Int8) for weight in weights.values())
    return Summary(output, len(content), parameters, int8, metadata, 0, 0.0, largest_difference)


def describe(encoder: Encoder, description: Description, temperature: float) -> ModelMetadata:
    """The metadata of `encoder`'s model file.

    Raises:
        ModelError: a part of the description is empty or out of range.
    """
    states = encoder.initial_state(1)
    return ModelMetadata(
        name=description.name,
        version=description.version,
        licence=description.licence,
        training_data=description.training_data,
        phones=PHONES,
        blank=BLANK,
        sample_rate=SAMPLE_RATE,
        frame_samples=FRAME,
        rows_per_frame=encoder.config.rows_per_frame,
        look_ahead_frames=encoder.config.look_ahead_frames,
        time_offset_seconds=description.time_offset_seconds,
        temperature=temperature,
        states=tuple(StateSpec(name, (BATCH, *state.shape[1:])) for name, state in states.items()),
        silence=_silence_rule(encoder.config, states),
    )


def _silence_rule(config: EncoderConfig, states: Iterable[str]) -> SilenceRule | None:
    """The rule on silence of a model with these states.

    Heads that have at most a sixteenth left after an interval need not be taken back.
    """
    rule = default_rule(states)
    if rule is None or config.decay != "fixed":
        return rule
    fading = sum(frames < 1.01 * rule.interval_frames / 4 for frames in half_lives(config))
    return replace(rule, fading_heads=min(fading, config.heads - 1))


def _fit(encoder: Encoder, data: Path) -> tuple[float, float, int]:
    """Lower blank in `encoder`: by how much; the temperature after that; on how many recordings both were fitted."""
    # Reading a corpus takes packages that an export without data does not
    from ..asr.model.offline import encoder_log_probs
    from ..asr.training.train import DevSet
    from .blank import apply_blank_penalty, fit_blank_penalty
    from .temperature import fit_temperature

    dev = DevSet(data, FITTED_RECORDINGS)
    penalty = fit_blank_penalty(encoder_log_probs(encoder, dev.samples), dev.references)
    apply_blank_penalty(encoder, penalty)
    temperature = fit_temperature(encoder_log_probs(encoder, dev.samples), dev.references)
    return penalty, temperature, len(dev.samples)


def _check_writable(output: Path) -> None:
    if output.is_dir():
        raise ModelError(f"{output}: is a folder; give the path of the file to write")
    if not output.absolute().parent.is_dir():
        raise ModelError(f"{output}: there is no folder {output.parent}; make it first")


def _write(output: Path, content: bytes) -> None:
    with system_errors_as(
        ModelError,
        f"{output}: could not be written",
        f"choose a folder that you may write to, with {math.ceil(len(content) / 2**20)} MiB of room",
    ):
        write_atomically(output, content)
