"""A stream's state as bytes and back: a safetensors file, validated completely before any of it is used.

docs/snapshot.md explains the layout. Nothing is ever unpickled, and the same state gives the same bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import safetensors
from safetensors.numpy import save as save_tensors

from ..errors import SnapshotError
from . import snapshot_fields as parts
from .arrays import AnyArray
from .audio import resample
from .audio.resample import ResamplerState
from .audio.samples import MAX_LEVEL, MAX_RATE, MIN_RATE
from .decode import DecoderState, Run
from .decoding import saved
from .decoding.decoder import BeamDecoder
from .decoding.stream_search import Search
from .json_values import is_integer
from .model import Model
from .silence import Silence, may_be_silent, remember, remembered_shape
from .spotting import command_snapshot
from .spotting import snapshot as spotting_snapshot
from .spotting.command_state import Commanding
from .spotting.commands import CommandRecognizer
from .spotting.spotter import Spotter, Spotting
from .stream_state import MAX_ROWS, Gap, StreamState
from .tiling import TilingState

FORMAT = 1
FIELDS = {
    "format",
    "model",
    "rate",
    "received",
    "frames",
    "row",
    "quiet",
    "run",
    "tiling",
    "lost",
    "finished",
}
KEY = "phonestream_snapshot"  # the one entry of the safetensors metadata

TAIL, PENDING, POSTERIORS, SEARCH = "resampler.tail", "pending", "posteriors", "search"
MODEL, SUMS = "model.", "silence."  # prefixes
OPTIONAL = {"endpoints", "search", "spotting", "commands"}  # fields

MAX_SAMPLES = 2**48  # 11 years at 768 kHz
LAST_ROW = MAX_ROWS + MAX_ROWS // 2  # of a stream that was let go on to `MAX_ROWS`, and then heard a long gap
MAX_FILTERED = 4 * MAX_LEVEL  # what the resampler's filter can make of accepted samples, and then some


def save(model: Model, state: StreamState) -> bytes:
    """`state` as a snapshot."""
    resampler, run = state.resampler, state.decoder.run
    tiling = state.decoder.tiling if state.search is None else state.search.state.tiling
    fields: dict[str, Any] = {
        "format": FORMAT,
        "model": model.sha256,
        "rate": resampler.rate if resampler else None,
        "received": state.received,
        "frames": state.frames,
        "row": state.decoder.row,
        "quiet": state.silence.quiet,
        "run": list(run) if run else None,
        "tiling": parts.tiling_fields(tiling),
        "lost": [list(gap) for gap in state.lost],
        "finished": state.finished,
    }
    if state.spotting is not None:
        fields["spotting"] = spotting_snapshot.fields(state.spotting)
    if state.commands is not None:
        fields["commands"] = command_snapshot.fields(state.commands)
    if state.endpoints is not None:
        fields["endpoints"] = parts.endpoint_fields(state.endpoints)
    tensors: dict[str, AnyArray] = {MODEL + name: tensor for name, tensor in state.model.items()}
    if state.spotting is not None:
        tensors |= spotting_snapshot.tensors(state.spotting)
    if state.commands is not None:
        tensors[command_snapshot.ROWS] = state.commands.rows
    tensors[TAIL] = resampler.tail if resampler else np.empty(0, np.float32)
    tensors[PENDING] = state.pending
    if state.silence.sums is not None and _remembers(model, fields):
        tensors |= {SUMS + name: tensor for name, tensor in state.silence.sums.items()}
    if state.posteriors is not None:
        labels = len(model.metadata.phones) + 1
        tensors[POSTERIORS] = np.concatenate([np.empty((0, labels), np.float32), *state.posteriors])
    if state.search is not None:
        fields["search"] = saved.fields(state.search.decoder)
        tensors[SEARCH] = np.frombuffer(saved.pack(state.search.state), np.uint8)
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    fields["sha256"] = _digest(fields, tensors)
    return save_tensors(tensors, {KEY: json.dumps(fields)})


def load(
    model: Model,
    data: bytes,
    decoder: BeamDecoder | None = None,
    spotter: Spotter | None = None,
    recognizer: CommandRecognizer | None = None,
) -> StreamState:
    """The state that `save` wrote.

    Args:
        decoder: whose language model a stream may have, beside the bundled ones.
        spotter: has the keywords of the stream.
        recognizer: has its commands.

    Raises:
        SnapshotError: not a snapshot, damaged, changed, of another format, of another model or language model.
    """
    try:
        entries, fields = _read(data)
        _check_origin(model, fields)
        tensors = _tensors(entries)
        if fields.pop("sha256", None) != _digest(fields, tensors):
            _refuse("is damaged: its contents do not match its checksum")
        fields.setdefault("quiet", 0)  # in snapshots of before there was a rule on silence
        fields.setdefault("tiling", parts.tiling_fields(TilingState()))  # of before phones were intervals
        _check_fields(model, fields)
        search = tensors.pop(SEARCH, None)
        spotting = _spotting(fields, tensors, spotter)
        commands = _commands(fields, tensors, recognizer)
        state = _state(model, fields, tensors)
        search_state = _search(model, fields, search, decoder)
        return replace(state, search=search_state, spotting=spotting, commands=commands)
    except RecursionError:  # reading, writing or showing JSON that is nested without end
        _refuse("is damaged: its fields are nested too deeply")


def _spotting(
    fields: Mapping[str, Any], tensors: dict[str, AnyArray], spotter: Spotter | None
) -> Spotting | None:
    """What spotting had heard, taken out of `tensors`."""
    own = {name: tensors.pop(name) for name in [*tensors] if name.startswith(spotting_snapshot.PREFIX)}
    saved, rows = fields.get("spotting"), tensors.pop(spotting_snapshot.ROWS, None)
    _check_given("keywords", saved is not None or rows is not None or bool(own), spotter)
    if spotter is None:
        return None
    try:
        return spotting_snapshot.load(saved, own, rows, spotter, fields["row"])
    except ValueError as error:
        _refuse(str(error))


def _commands(
    fields: Mapping[str, Any], tensors: dict[str, AnyArray], recognizer: CommandRecognizer | None
) -> Commanding | None:
    """The utterance that went on, taken out of `tensors`."""
    saved, rows = fields.get("commands"), tensors.pop(command_snapshot.ROWS, None)
    _check_given("commands", saved is not None or rows is not None, recognizer)
    if recognizer is None:
        return None
    if "endpoints" not in fields:
        _refuse("is damaged: it has commands and no endpoints")
    try:
        return command_snapshot.load(saved, rows, recognizer, fields["row"], fields["finished"])
    except ValueError as error:
        _refuse(str(error))


def _check_given(what: str, saved: bool, given: object | None) -> None:
    """Whoever restores a stream gives the keywords or commands that it was saved with."""
    if saved and given is None:
        _refuse(f"is of a stream with {what}: give the same {what} with it")
    if given is not None and not saved:
        _refuse(f"is of a stream without {what}: restore it without, or start a stream with them")


def _refuse(problem: str) -> NoReturn:
    raise SnapshotError(f"the snapshot {' '.join(problem.split())}")  # what it holds may be of several lines


def _stored(name: str) -> tuple[str, np.dtype[Any]]:
    """The type of a tensor in the file, in the words of safetensors and of numpy."""
    if name == SEARCH:
        return "U8", np.dtype("u1")
    return ("I64", np.dtype("<i8")) if name.startswith(spotting_snapshot.PREFIX) else ("F32", np.dtype("<f4"))


def _digest(fields: Mapping[str, Any], tensors: Mapping[str, AnyArray]) -> str:
    """SHA-256 of the fields as JSON with sorted keys, then of each tensor's name and bytes, by name."""
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].astype(_stored(name)[1], copy=False).data)
    return digest.hexdigest()


def _read(data: bytes) -> tuple[list[tuple[str, dict[str, Any]]], dict[str, Any]]:
    """The safetensors entries and the fields of a well-formed file. Nothing but its form is checked."""
    if not isinstance(data, bytes | bytearray | memoryview):
        _refuse(f"must be bytes, not {type(data).__name__}")
    data = bytes(data)
    try:
        # Checks that header, shapes and lengths agree.
        entries = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        fields = json.loads(header["__metadata__"][KEY])
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        _refuse(f"is truncated, damaged or none of ours ({' '.join(str(error).split())})")
    if not isinstance(fields, dict):
        _refuse(f"is damaged: {KEY} is not an object")
    return entries, fields


def _check_origin(model: Model, fields: Mapping[str, Any]) -> None:
    """Format and model, before anything that depends on them."""
    version, sha256 = fields.get("format"), fields.get("model")
    if type(version) is not int or version != FORMAT:
        _refuse(f"is of format {repr(version)[:40]} and this version of Phonestream reads {FORMAT}")
    if sha256 != model.sha256:
        _refuse(
            f"belongs to another model (SHA-256 {str(sha256)[:12]}…, this one is {model.sha256[:12]}…): "
            "restore it with the model file that it was saved with"
        )


def _tensors(entries: list[tuple[str, dict[str, Any]]]) -> dict[str, AnyArray]:
    tensors: dict[str, AnyArray] = {}
    for name, entry in entries:
        expected, kind = _stored(name)
        if entry["dtype"] != expected:
            _refuse(f"is damaged: tensor {name!r} is {entry['dtype']}, expected {expected}")
        own = kind.newbyteorder("=")
        tensor = np.frombuffer(entry["data"], kind).astype(own, copy=False).reshape(entry["shape"])
        if not np.isfinite(tensor).all():
            _refuse(f"is damaged: tensor {name!r} is not finite")
        tensors[name] = tensor
    return tensors


def _check_fields(model: Model, fields: Mapping[str, Any]) -> None:
    """Types and ranges of all fields, and that they agree with each other."""
    if odd := sorted((fields.keys() - OPTIONAL) ^ FIELDS):
        _refuse(f"is damaged: fields {odd} are missing or unknown")
    rate, received, finished = fields["rate"], fields["received"], fields["finished"]

    _require(fields, "rate", rate is None or is_integer(rate, MIN_RATE, MAX_RATE))
    _require(fields, "received", is_integer(received, *((1, MAX_SAMPLES) if rate else (0, 0))))
    _require(fields, "finished", type(finished) is bool)

    frames, _ = _progress(model, fields)
    meta = model.metadata
    _require(fields, "frames", is_integer(fields["frames"], frames, frames))
    row = max(0, frames - meta.look_ahead_frames) * meta.rows_per_frame
    _require(fields, "row", is_integer(fields["row"], row, min(row, LAST_ROW)))
    _require(fields, "quiet", is_integer(fields["quiet"], 0, frames))
    _require(
        fields, "run", fields["run"] is None or (not finished and parts.is_run(model, fields["run"], row))
    )
    _require(fields, "tiling", parts.is_tiling(model, fields["tiling"], fields))
    _require(fields, "lost", isinstance(fields["lost"], list) and parts.are_gaps(fields["lost"], received))
    if "endpoints" in fields:
        _require(fields, "endpoints", parts.are_endpoints(model, fields["endpoints"], fields))


def _search(
    model: Model, fields: Mapping[str, Any], data: AnyArray | None, own: BeamDecoder | None
) -> Search | None:
    """The search of checked fields."""
    if (data is None) != ("search" not in fields):
        _refuse(f"is damaged: field {SEARCH!r} or its tensor is missing")
    if data is None:
        return None
    if fields["run"] is not None:
        _refuse("is damaged: field 'run' is not null in a stream that searches")
    try:
        decoder = saved.find(model.metadata.decoder, fields["search"], own)
    except ValueError as error:
        _refuse(str(error))
    try:
        ended = fields["received"] / (fields["rate"] or 1) if fields["finished"] else None
        state = saved.unpack(decoder, fields["row"], parts.tiling(fields["tiling"]), ended, data.tobytes())
    except ValueError as error:
        _refuse(f"is damaged: tensor {SEARCH!r}: {error}")
    return Search(decoder, state)


def _progress(model: Model, fields: Mapping[str, Any]) -> tuple[int, int]:
    """Frames that the graph must have heard by now, and samples that must be pending."""
    meta, rate, received = model.metadata, fields["rate"], fields["received"]
    if rate is None:
        return 0, 0
    if fields["finished"]:
        whole = -(-resample.total(rate, meta.sample_rate, received) // meta.frame_samples)
        return whole + meta.look_ahead_frames, 0
    return divmod(resample.produced(rate, meta.sample_rate, received), meta.frame_samples)


def _remembers(model: Model, fields: Mapping[str, Any]) -> bool:
    """Whether sums are saved: those at the beginning of the interval going on, if it may be silent and they differ."""
    rule, frames = model.metadata.silence, fields["frames"]
    within = rule is not None and frames % rule.interval_frames > 0
    return within and may_be_silent(rule, fields["quiet"], frames)


def _state(model: Model, fields: Mapping[str, Any], tensors: dict[str, AnyArray]) -> StreamState:
    """The state of checked fields, once the tensors are those that the fields call for."""
    meta, rate, received = model.metadata, fields["rate"], fields["received"]
    shapes: dict[str, tuple[int, ...]] = {MODEL + spec.name: spec.sized(1) for spec in meta.states}
    shapes[TAIL] = (resample.tail_length(rate, meta.sample_rate, received) if rate else 0,)
    shapes[PENDING] = (_progress(model, fields)[1],)
    rule = meta.silence
    remembered: tuple[str, ...] = ()
    if rule is not None and _remembers(model, fields):
        remembered = rule.states
        shapes |= {SUMS + name: remembered_shape(rule, shapes[MODEL + name]) for name in remembered}
    if POSTERIORS in tensors:
        waiting = tensors[POSTERIORS].shape[:1] or (0,)  # as many as nobody has taken
        shapes[POSTERIORS] = (min(*waiting, fields["row"]), len(meta.phones) + 1)
    if tensors.keys() != shapes.keys():
        _refuse(f"is damaged: tensors {sorted(tensors.keys() ^ shapes.keys())} are missing or unknown")
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            _refuse(f"is damaged: tensor {name!r} has shape {tensors[name].shape}, expected {shape}")
    for name in (TAIL, PENDING):
        if (np.abs(tensors[name]) > MAX_FILTERED).any():
            _refuse(f"is damaged: tensor {name!r} is no audio")

    run = fields["run"]
    graph = {spec.name: tensors[MODEL + spec.name] for spec in meta.states}
    silence = Silence(fields["quiet"], {name: tensors[SUMS + name] for name in remembered} or None)
    return StreamState(
        model=graph,
        silence=remember(rule, silence, fields["frames"], graph),
        pending=tensors[PENDING],
        resampler=ResamplerState(rate, meta.sample_rate, received, tensors[TAIL]) if rate else None,
        frames=fields["frames"],
        decoder=DecoderState(
            fields["row"],
            Run(run[0], run[1], float(run[2])) if run else None,
            TilingState() if "search" in fields else parts.tiling(fields["tiling"]),
        ),
        posteriors=(tensors[POSTERIORS],) if POSTERIORS in tensors else None,
        lost=tuple(Gap(*gap) for gap in fields["lost"]),
        finished=fields["finished"],
        endpoints=parts.endpoints(fields["endpoints"]) if "endpoints" in fields else None,
    )


def _require(fields: Mapping[str, Any], key: str, holds: bool) -> None:
    if not holds:
        _refuse(f"is damaged: field {key!r} cannot be {repr(fields[key])[:60]}")
