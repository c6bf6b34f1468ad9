"""A run's folder: its configuration, checkpoints that survive a crash in mid-write, and how to load a model from it."""

import io
import json
import math
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...atomic import write_atomically
from ...errors import ConfigError, system_errors_as
from ..model.config import from_dict, to_dict
from ..model.encoder import Encoder, look_ahead_after
from .config import TrainConfig
from .precision import Precision

FORMAT = 1
CHECKPOINT = "checkpoint.pt"
CONFIG = "config.json"
MAY_DIFFER = {"precision"}  # between a run and its resumption: how a step is computed, not what
PACKAGES = ("phonestream", "torch", "torchaudio", "lhotse", "numpy", "soundfile", "soxr")


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on after `step` steps. Random draws derive from seed and step, so none are kept."""

    step: int
    config: TrainConfig
    data_digest: str
    encoder: dict[str, Tensor]
    averaged: dict[str, Tensor]
    optimisers: list[dict[str, Any]]
    teacher: str = ""  # fingerprint of the model that is learnt from, if there is one
    hours: float = 0.0  # of training so far, stops left out


def save_checkpoint(run: Path, checkpoint: Checkpoint) -> None:
    """Write `RUN/checkpoint.pt`; the one before stays whole until the new one is.

    Raises:
        ConfigError: the folder cannot be written, or its disk is full.
    """
    buffer = io.BytesIO()
    content = vars(checkpoint) | {"format": FORMAT, "config": to_dict(checkpoint.config)}
    torch.save(content, buffer)
    with system_errors_as(
        ConfigError,
        f"{run / CHECKPOINT}: could not be written",
        f"a checkpoint before it is untouched; make room for {math.ceil(buffer.tell() / 2**20)} MiB, then go on from "
        "there with --resume",
    ):
        write_atomically(run / CHECKPOINT, buffer.getbuffer())


def load_checkpoint(run: Path) -> Checkpoint:
    """Read `RUN/checkpoint.pt`.

    Raises:
        ConfigError: there is none, it is damaged, or of another format.
    """
    path = run / CHECKPOINT
    if not path.is_file():
        raise ConfigError(f"{run}: has no {CHECKPOINT}; give the folder of a run made by `phonestream train`")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise ConfigError(
                f"{path}: is not a checkpoint of format {FORMAT}; train again with this version"
            )
        return Checkpoint(**{**content, "config": from_dict(TrainConfig, content["config"])})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from None
    except Exception as error:  # torch.load raises many kinds on damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{path}: is damaged ({reason}); restore it or start the run anew") from None


def load_encoder(run: Path) -> Encoder:
    """The averaged weights of a run, in evaluation mode.

    Raises:
        ConfigError: see `load_checkpoint`.
    """
    checkpoint = load_checkpoint(run)
    encoder = Encoder(checkpoint.config.model)
    load_weights(encoder, checkpoint.averaged, str(run / CHECKPOINT))
    return encoder.eval()


def load_weights(encoder: Encoder, weights: dict[str, Tensor], origin: str) -> None:
    """Copy `weights` into `encoder`; `origin` names where they come from, for the error.

    Raises:
        ConfigError: a weight is missing, unknown or of another shape.
    """
    own = encoder.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        have, want = weights.get(name), own.get(name)
        if have is None or want is None or have.shape != want.shape:
            seen = "missing" if have is None else list(have.shape)
            expected = "none of this name" if want is None else list(want.shape)
            raise ConfigError(
                f"{origin}: is of another configuration: {name} is {seen}, expected {expected}; "
                "use the [model] table that it was trained with"
            )
    encoder.load_state_dict(weights)


def expand_weights(weights: dict[str, Tensor], encoder: Encoder) -> dict[str, Tensor]:
    """`weights` of a smaller model expanded to `encoder`'s shape, so that both compute the same.

    A head of fewer CTC rows a frame is repeated: rows that agree collapse into one phone. A look-ahead convolution that
    the smaller model lacks is `encoder`'s own, initially a pure delay. So is the projection of a new intermediate
    head's posteriors back into the blocks, initially zero; the head itself starts as a copy of the last one. Units
    that its feed-forward layers lack are `encoder`'s own, and zero times them is added. Blocks that it lacks are
    `encoder`'s own, their last projections zero, between the blocks before the look-ahead and those after it; they
    compute the same if the intermediate head comes so many blocks later.
    """
    wanted, own = encoder.head.out_features, len(weights.get("head.bias", ()))
    if 0 < own < wanted and wanted % own == 0:
        names = ("head.weight", "head.bias")
        weights = weights | {name: torch.cat([weights[name]] * (wanted // own)) for name in names}
    weights = _widen(_deepen(weights, encoder), encoder)
    added = {
        name: weights.get(name.removeprefix("conditioning."), as_made)
        for name, as_made in encoder.state_dict().items()
        if name.startswith(("look_ahead.", "conditioning.")) and name not in weights
    }
    return weights | added


def _deepen(weights: dict[str, Tensor], encoder: Encoder) -> dict[str, Tensor]:
    """`weights` with as many blocks as `encoder` has: the new ones add nothing to the residual stream yet.

    An identity to begin with, as in Net2DeeperNet (Chen et al. 2016).
    """
    blocks = 1 + max((int(name.split(".")[1]) for name in weights if name.startswith("blocks.")), default=-1)
    new = len(encoder.blocks) - blocks
    if blocks < 1 or new < 1:
        return weights
    kept = look_ahead_after(blocks) + 1
    deeper = {}
    for name, weight in weights.items():
        _, index, *rest = name.split(".") if name.startswith("blocks.") else ("", "0")
        moved = int(index) >= kept
        deeper[".".join(["blocks", str(int(index) + new), *rest]) if moved else name] = weight
    for name, weight in encoder.state_dict().items():
        if name.startswith("blocks.") and name not in deeper:
            last = ".mix_out." in name or ".feed_out." in name
            deeper[name] = torch.zeros_like(weight) if last else weight
    return deeper


def _widen(weights: dict[str, Tensor], encoder: Encoder) -> dict[str, Tensor]:
    """`weights` with feed-forward layers as wide as `encoder`'s: what the new units compute is multiplied by zero."""
    wider = dict(weights)
    for name, as_made in encoder.state_dict().items():
        weight = weights.get(name)
        if weight is None or ".feed_" not in name or weight.dim() != as_made.dim():
            continue
        if any(have > want for have, want in zip(weight.shape, as_made.shape, strict=True)):
            continue  # too wide: `load_weights` says which weight does not fit
        wider[name] = torch.zeros_like(as_made) if ".feed_out." in name else as_made.clone()
        wider[name][tuple(slice(size) for size in weight.shape)] = weight
    return wider


def check_same_config(before: Checkpoint, config: TrainConfig, run: Path) -> None:
    """Refuse to resume a run with another configuration.

    Raises:
        ConfigError: naming what differs.
    """
    ours, theirs = to_dict(config), to_dict(before.config)
    differences = [key for key in ours.keys() - MAY_DIFFER if ours[key] != theirs.get(key)]
    if differences:
        key = min(differences)
        raise ConfigError(
            f"{run}: its checkpoint was made with another configuration: {key} was {theirs.get(key)!r}, "
            f"now {ours[key]!r}; resume with the same one, or start another run"
        )


def check_same(before: Checkpoint, config: TrainConfig, data_digest: str, teacher: str, run: Path) -> None:
    """Refuse to resume a run with another configuration, teacher or other data.

    Raises:
        ConfigError: naming what differs.
    """
    check_same_config(before, config, run)
    if before.data_digest != data_digest:
        raise ConfigError(
            f"{run}: its checkpoint was made with other data; resume with the same, or start another run"
        )
    if before.teacher != teacher:
        raise ConfigError(
            f"{run}: its checkpoint was made with another teacher; resume with the same --teacher, "
            "or start another run"
        )


def start_run(run: Path, config: TrainConfig, data_digest: str, precision: Precision) -> None:
    """Make a run's folder and write down what it is made from, and in which precision.

    Raises:
        ConfigError: the folder holds a run already, or cannot be written.
    """
    if (run / CHECKPOINT).exists():
        raise ConfigError(f"{run}: holds a run already; go on with --resume, or choose another folder")
    record = {
        "command": sys.argv,
        "config": to_dict(config),
        "data_digest": data_digest,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "precision_from_step": {"0": precision},
        "packages": {name: _version(name) for name in PACKAGES},
    }
    with system_errors_as(ConfigError, f"{run}: cannot be written", "choose another folder"):
        run.mkdir(parents=True, exist_ok=True)
        (run / CONFIG).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def record_precision(run: Path, step: int, precision: Precision) -> None:
    """Add to a run's record that from `step` on it was resumed in another precision than before.

    Raises:
        ConfigError: the record is damaged or cannot be written.
    """
    path = run / CONFIG
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        used = record.setdefault("precision_from_step", {"0": record["config"]["precision"]})
        if used[max(used, key=int)] == precision:
            return
        used[str(step)] = precision
        write_atomically(path, f"{json.dumps(record, indent=2)}\n".encode())
    except FileNotFoundError:
        return  # a run may go on without its record
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read or written: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{path}: is damaged; restore it or start the run anew") from None


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
