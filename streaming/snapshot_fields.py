"""Parts of a stream as the fields of a snapshot, back again, and what may stand in them."""

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from .endpoint import MAX_RULES, EndpointConfig, EndpointRule, EndpointState
from .json_values import is_integer, is_number
from .model import Model
from .stream_state import Endpointing, Gap
from .tiling import EDGE, Held, Spike, TilingState


def tiling_fields(tiling: TilingState) -> dict[str, Any]:
    until, floor, held = tiling
    return {"until": until, "floor": floor, "held": [*held.spike, held.begin] if held else None}


def tiling(fields: Mapping[str, Any]) -> TilingState:
    """`tiling_fields` undone."""
    held = fields["held"]
    until, floor = float(fields["until"]), float(fields["floor"])
    return TilingState(until, floor, Held(Spike(*held[:-1]), float(held[-1])) if held else None)


def endpoint_fields(endpoints: Endpointing) -> dict[str, Any]:
    config, (start, speech, label), gaps = endpoints
    return {
        "rules": [[rule.name, rule.trailing_silence, rule.speech, rule.utterance] for rule in config.rules],
        "start": start,
        "speech": list(speech) if speech else None,
        "column": label,
        "untold": [list(gap) for gap in gaps],
    }


def endpoints(fields: Mapping[str, Any]) -> Endpointing:
    """`endpoint_fields` undone."""
    speech = fields["speech"]
    return Endpointing(
        EndpointConfig(tuple(EndpointRule(*rule) for rule in fields["rules"])),
        EndpointState(fields["start"], (speech[0], speech[1]) if speech else None, fields["column"]),
        tuple(Gap(*gap) for gap in fields["untold"]),
    )


def is_run(model: Model, run: Any, row: int) -> bool:
    return (
        isinstance(run, list)
        and len(run) == 3
        and is_integer(run[0], 0, len(model.metadata.phones))
        and run[0] != model.metadata.blank
        and is_integer(run[1], 0, row - 1)
        and type(run[2]) in (int, float)
        and 0 <= run[2] <= 1
    )


def is_tiling(model: Model, own: Any, fields: Mapping[str, Any]) -> bool:
    """What `tiling_fields` may give beside these `fields`, of which the clocks are sound."""
    row, symbols = fields["row"], model.metadata.decoder.symbols
    latest = max(model.metadata.decoder.seconds(row), fields["received"] / (fields["rate"] or 1)) + EDGE
    if not (isinstance(own, dict) and own.keys() == {"until", "floor", "held"}):
        return False
    if not (is_number(own["until"], 0, latest) and is_number(own["floor"], 0, latest)):
        return False
    held = own["held"]
    if held is None:
        return True
    if not (isinstance(held, list) and len(held) == 6):
        return False
    label, start, end, confidence, word_start, begin = held
    last = row if fields["run"] is None else fields["run"][1]
    return (
        is_integer(label, 0, len(symbols) - 1)
        and label != model.metadata.blank
        and is_integer(start, 0, last - 1)
        and is_integer(end, start + 1, last)
        and is_number(confidence, 0, 1)
        and (word_start is None or type(word_start) is bool)
        and is_number(begin, max(own["until"], own["floor"]), latest)
    )


def are_endpoints(model: Model, own: Any, fields: Mapping[str, Any]) -> bool:
    """What `endpoint_fields` may give beside these `fields`, which are sound."""
    if not isinstance(own, dict) or own.keys() != {"rules", "start", "speech", "column", "untold"}:
        return False
    row, speech, label = fields["row"], own["speech"], own["column"]
    if not (_are_rules(own["rules"]) and is_integer(own["start"], 0, row)):
        return False
    if speech is not None:
        if not (
            isinstance(speech, list) and len(speech) == 2 and is_integer(speech[0], own["start"], row - 1)
        ):
            return False
        # A phone that goes on has been heard up to now, and one that does not was followed by a blank.
        last = (speech[0] + 1, row - 1) if label is None else (row, row)
        if not is_integer(speech[1], *last):
            return False
    if label is not None and not (speech and is_run(model, [label, speech[0], 1.0], row)):
        return False
    return isinstance(own["untold"], list) and _are_pending(own["untold"], fields)


def _are_rules(rules: Any) -> bool:
    if not (isinstance(rules, list) and 1 <= len(rules) <= MAX_RULES):
        return False
    if not all(isinstance(rule, list) and len(rule) == 4 for rule in rules):
        return False
    try:
        EndpointConfig(tuple(EndpointRule(*rule) for rule in rules))
    except ConfigError:
        return False
    return True


def _are_pending(gaps: list[Any], fields: Mapping[str, Any]) -> bool:
    """Pairs [first, samples], in order and each within one of the stream's gaps; none once it has finished."""
    end, lost = 0, iter(fields["lost"])
    first = last = -1  # of the stream's gap that is looked at
    for gap in gaps:
        if fields["finished"] or not (isinstance(gap, list) and len(gap) == 2):
            return False
        if not (
            is_integer(gap[0], end, fields["received"]) and is_integer(gap[1], 1, fields["received"] - gap[0])
        ):
            return False
        end = gap[0] + gap[1]
        while last < end:
            first, samples = next(lost, (0, 0))
            if not samples:  # there are no more
                return False
            last = first + samples
        if gap[0] < first:
            return False
    return True


def are_gaps(lost: list[Any], received: int) -> bool:
    """Pairs [first, samples], each gap beginning after the one before has ended, all within the stream."""
    end = -1
    for gap in lost:
        if not (isinstance(gap, list) and len(gap) == 2):
            return False
        if not (is_integer(gap[0], end + 1, received) and is_integer(gap[1], 1, received - gap[0])):
            return False
        end = gap[0] + gap[1]
    return True
