"""Silence leaves no trace: what blank stretches add to a model's sums over the past is taken back.

Linear attention's `s` and `z` are sums over all frames heard. Frames in which nothing is said have keys too, and a sum
made of them for the most part drowns what the speech before has left, and what that to come will need.

A stream is divided into intervals of `interval_frames` frames, counted from its start. A frame is blank when the rows
that come with it all give the blank column a probability above `blank_probability`; the first `look_ahead_frames`, of
which the rows speak of the time before the stream, are blank too. An interval is silent when all its frames are blank,
and so are the `after_frames` before it. At the end of a silent interval the sums go back to what they were at its
beginning; all else that the model carries, and all rows, stay as they are. So do the sums of the first `fading_heads`
heads, which decay so fast that next to nothing of an interval stays in them anyway: they need not be remembered.

So the sums hold the beginning of each silence, `after_frames` to `after_frames + interval_frames - 1` frames of it, as
the beginning and the end of a recording do, and of the rest at most the interval that is going on. Rows come late by
the look-ahead: by then the model has heard `look_ahead_frames` frames more since the phone of the last row.

The rule looks at frames only, and its intervals lie on a fixed grid: how audio is cut into calls changes nothing. All
that has to be observed is that no call of the graph runs past the beginning or the end of a silent interval, where sums
are read or written. A call of `frames_to_border` frames never does. One that may turn out to is followed by
`valid_frames`: where fewer frames are valid than were run, the result is dropped, and those alone are run again.
After a call that stands, `after_call` gives what the rule knows then, and the sums that go back.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .arrays import FloatArray

if TYPE_CHECKING:
    from .metadata import ModelMetadata

BLANK_PROBABILITY = 0.5
INTERVAL_FRAMES = 16
AFTER_FRAMES = 10
SUMS = re.compile(r"[sz]\d+")
"""Names that an encoder's attention gives its sums."""


@dataclass(frozen=True)
class SilenceRule:
    """What is silence, and what of the model's state it must not change."""

    states: tuple[str, ...]
    """State tensors that are sums over the past."""
    blank_probability: float = BLANK_PROBABILITY
    interval_frames: int = INTERVAL_FRAMES
    after_frames: int = AFTER_FRAMES
    fading_heads: int = 0
    """How many heads, the first of each sum, forget an interval by themselves, and are left alone."""


class Silence(NamedTuple):
    """What the rule has to know of a stream's past."""

    quiet: int = 0
    """Blank frames up to the present one."""
    sums: Mapping[str, FloatArray] | None = None
    """The model's sums at the beginning of the interval going on, while it may turn out silent; else None. Those of
    the rule's fading heads are not among them."""


NOTHING_HEARD = Silence()
"""Of a stream that begins."""


def default_rule(states: Iterable[str]) -> SilenceRule | None:
    """The rule of a model that names none: over the states called s0, z0, s1, …; None where there are none."""
    sums = tuple(name for name in states if SUMS.fullmatch(name))
    return SilenceRule(sums) if sums else None


def may_be_silent(rule: SilenceRule | None, quiet: int, frame: int) -> bool:
    """Whether the interval going on after `frame` frames, or beginning there, may turn out silent."""
    return rule is not None and quiet >= rule.after_frames + frame % rule.interval_frames


def frames_to_border(rule: SilenceRule | None, frame: int, ready: int) -> int:
    """How many of `ready` frames come before the next interval, `frame` frames having been heard."""
    return ready if rule is None else min(ready, rule.interval_frames - frame % rule.interval_frames)


def blank_frames(
    rule: SilenceRule | None, heard: Sequence[int], log_probs: FloatArray, metadata: "ModelMetadata"
) -> list[list[bool]]:
    """Which of the frames of a call are blank, for each of its streams.

    Args:
        heard: frames of each stream before the call.
        log_probs: [streams, rows, columns] of the call.
    """
    each = metadata.rows_per_frame
    count = log_probs.shape[1] // each
    if rule is None:
        return [[False] * count for _ in heard]
    least = log_probs[..., metadata.blank].reshape(len(heard), count, each).min(axis=2)
    blanks: list[list[bool]] = (least > np.float32(np.log(rule.blank_probability))).tolist()
    for own, before in zip(blanks, heard, strict=True):
        early = min(count, max(0, metadata.look_ahead_frames - before))
        own[:early] = [True] * early
    return blanks


def valid_frames(rule: SilenceRule | None, quiet: int, frame: int, blanks: Sequence[bool]) -> int:
    """How many of the frames of a call stand: those before the first interval in it that may turn out silent.

    The call must not have run past the end of an interval that may be silent when it begins.
    """
    if rule is None:
        return len(blanks)
    for done, blank in enumerate(blanks):
        begins = done > 0 and (frame + done) % rule.interval_frames == 0
        if begins and quiet >= rule.after_frames and all(blanks[done : done + rule.interval_frames]):
            return done
        quiet = quiet + 1 if blank else 0
    return len(blanks)


def after_call(
    rule: SilenceRule | None, silence: Silence, frame: int, blanks: Sequence[bool]
) -> tuple[Silence, Mapping[str, FloatArray] | None]:
    """What is known after a call of valid frames, and the sums, if any, that then replace the model's (`put_back`)."""
    if rule is None:
        return silence, None
    end = frame + len(blanks)
    quiet = next((count for count, blank in enumerate(reversed(blanks)) if not blank), None)
    if quiet is None:
        quiet = silence.quiet + len(blanks)
        sums = silence.sums
        return Silence(quiet, sums), sums if end % rule.interval_frames == 0 else None
    return Silence(quiet), None


def remember(
    rule: SilenceRule | None, silence: Silence, frame: int, state: Mapping[str, FloatArray]
) -> Silence:
    """Copy the sums of the model's `state` where an interval begins that may turn out silent."""
    if rule is None or silence.sums is not None or frame % rule.interval_frames:
        return silence
    if not may_be_silent(rule, silence.quiet, frame):
        return silence
    return silence._replace(sums={name: state[name][:, rule.fading_heads :].copy() for name in rule.states})


def put_back(
    rule: SilenceRule | None, state: Mapping[str, FloatArray], sums: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    """The model's `state` with `sums` in place of its own, but for those of the fading heads."""
    heads = 0 if rule is None else rule.fading_heads
    if heads == 0:
        return {**state, **sums}
    return {
        **state,
        **{name: np.concatenate([state[name][:, :heads], kept], axis=1) for name, kept in sums.items()},
    }


def remembered_shape(rule: SilenceRule, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of what is remembered of a sum of this shape, `[batch, heads, …]`."""
    return (shape[0], shape[1] - rule.fading_heads, *shape[2:]) if rule.fading_heads else shape
