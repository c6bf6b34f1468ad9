"""The state of a search as fields and bytes, for the snapshot of a stream, and back.

The bytes are little-endian and hold n, the number of prefixes, as uint16; then float64 [n] scores of ways that end in
a blank; float64 [n] of those that end in a phone; int32 [n] contexts of the language model; uint16 [n] phones that
are not final; uint8 [n] last symbols; then of all those phones, prefix after prefix and the oldest first, 6 bytes
each: uint16 rows since the phone began, uint16 posterior times 65535, uint8 rows that it has (255: or more), uint8
symbol. With the usual settings that is at most 3.7 KB.
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from ...errors import ConfigError, ModelError
from ..arrays import AnyArray
from ..decode import Decoder
from ..tiling import TilingState
from . import search
from .config import BeamSearch
from .decoder import BeamDecoder, BeamState
from .load import bundled_language_models
from .search import HEARD, Beam

_COUNT = 2  # bytes
_PREFIX = [("blank", "<f8"), ("phone", "<f8"), ("context", "<i4"), ("length", "<u2"), ("last", "u1")]
_PREFIX_BYTES = sum(np.dtype(kind).itemsize for _, kind in _PREFIX)
_PHONE = np.dtype([("age", "<u2"), ("confidence", "<u2"), ("rows", "u1"), ("symbol", "u1")])
_SETTINGS = ("size", "acoustic_scale", "lm_weight", "blank_score", "threshold", "delay_seconds")
_UNSCALED = {"acoustic_scale": 1.0}  # of snapshots from before there was a scale
_LOWEST = 2 * search.IMPOSSIBLE


def fields(decoder: BeamDecoder) -> dict[str, Any]:
    """Settings of the search, and the SHA-256 of its language model, null without one."""
    settings = asdict(decoder.settings)
    lm = None if decoder.settings.lm is None else decoder.rule.lm.sha256
    return {"lm": lm} | {name: settings[name] for name in _SETTINGS}


def find(greedy: Decoder, saved: Any, own: BeamDecoder | None) -> BeamDecoder:
    """The decoder of a snapshot's `fields`: with the language model of `own`, or with a bundled one.

    Raises:
        ValueError: they are not fields of ours, or of another language model; the message says so.
    """
    if isinstance(saved, dict):
        saved = _UNSCALED | saved
    if not (isinstance(saved, dict) and saved.keys() == {"lm", *_SETTINGS}):
        raise ValueError("is damaged: field 'search' has other entries than those of a search")
    if own is not None and fields(own) == saved:
        return own
    sources = [own.settings.lm] if own is not None else []
    sources = [None] if saved["lm"] is None else [*sources, *bundled_language_models()]
    for source in sources:
        try:
            decoder = BeamDecoder(greedy, BeamSearch(lm=source, **{name: saved[name] for name in _SETTINGS}))
        except (ConfigError, TypeError) as error:
            raise ValueError(f"is damaged: field 'search' cannot be ({error})") from None
        except ModelError:  # a bundled one of other phones
            continue
        if fields(decoder)["lm"] == saved["lm"]:
            return decoder
    raise ValueError(
        f"belongs to another language model (SHA-256 {str(saved['lm'])[:12]}…): "
        "give it to Recognizer(decoder=BeamSearch(lm=…))"
    )


def pack(state: BeamState) -> bytes:
    """The bytes of `state`."""
    beam = state.beam
    parts = [np.asarray(getattr(beam, name)).astype(kind).tobytes() for name, kind in _PREFIX]
    there = np.arange(beam.history.shape[1]) < beam.length[:, None]
    heard = beam.history[there]
    phones = np.empty(len(heard), _PHONE)
    phones["age"] = state.row - heard["start"]
    for name in ("confidence", "rows", "symbol"):
        phones[name] = heard[name]
    return b"".join([len(beam.last).to_bytes(_COUNT, "little"), *parts, phones.tobytes()])


def unpack(
    decoder: BeamDecoder, row: int, tiling: TilingState, ended: float | None, data: bytes
) -> BeamState:
    """The state after `row` rows that `pack` wrote, validated completely, with the other parts of it.

    Raises:
        ValueError: the bytes cannot be that; the message says why.
    """
    rule = decoder.rule
    count, arrays = _prefixes(data, rule.size)
    length = arrays["length"].astype(np.int16)
    phones = np.frombuffer(data, _PHONE, offset=_COUNT + count * _PREFIX_BYTES)
    _require(len(phones) == int(length.sum(dtype=int)), "phones that are missing or surplus")
    _require(int(length.min()) >= 0 and int(length.max()) < rule.depth, "a history is too long")
    for name in ("blank", "phone"):
        array = arrays[name]
        _require(
            bool(np.isfinite(array).all() and (array >= _LOWEST).all() and (array <= 1e6).all()), "a score"
        )
    _require(bool((np.logaddexp(arrays["blank"], arrays["phone"]) > search.IMPOSSIBLE / 2).all()), "a score")
    _require(bool(((arrays["context"] >= 0) & (arrays["context"] < rule.lm.contexts)).all()), "a context")
    _require(bool((arrays["last"] < rule.lm.end).all()), "a symbol")
    history = np.zeros((count, rule.depth), HEARD)
    there = np.arange(rule.depth) < length[:, None]
    heard = np.empty(len(phones), HEARD)
    heard["start"] = row - phones["age"].astype(np.int64)
    for name in ("confidence", "rows", "symbol"):
        heard[name] = phones[name]
    _require(bool(((heard["symbol"] > 0) & (heard["symbol"] < rule.lm.end)).all()), "a symbol")
    first = 0 if tiling.held is None else tiling.held.spike.end
    _require(bool(((heard["rows"] > 0) & (heard["start"] >= first)).all()), "the time of a phone")
    history[there] = heard
    ends = history["start"].astype(np.int64) + history["rows"]
    following = np.concatenate([history["start"][:, 1:], np.full((count, 1), row)], axis=1)
    following = np.where(np.arange(1, rule.depth + 1) < length[:, None], following, row)
    _require(bool((ends <= following)[there].all()), "the time of a phone")
    with_phones = np.flatnonzero(length)
    said = history["symbol"][with_phones, length[with_phones] - 1]
    _require(bool((said == arrays["last"][with_phones]).all()), "a last symbol")
    identity, parent = search.identify(history["symbol"], length)
    _require(len(np.unique(identity)) == count, "two prefixes are one")
    beam = Beam(
        arrays["blank"], arrays["phone"], arrays["context"], arrays["last"], length, identity, parent, history
    )
    return BeamState(row, beam, tiling, ended)


def _prefixes(data: bytes, size: int) -> tuple[int, dict[str, AnyArray]]:
    """How many prefixes there are, and their arrays."""
    count = int.from_bytes(data[:_COUNT], "little")
    whole = len(data) - _COUNT - count * _PREFIX_BYTES
    _require(1 <= count <= size and whole >= 0 and whole % _PHONE.itemsize == 0, "its length")
    arrays, begin = {}, _COUNT
    for name, kind in _PREFIX:
        arrays[name] = np.frombuffer(data, kind, count, begin).astype(np.dtype(kind).newbyteorder("="))
        begin += arrays[name].nbytes
    return count, arrays


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{what} cannot be")
