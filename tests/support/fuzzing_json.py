"""JSON values changed at random, from a seed: what a stranger may write where numbers, texts and lists are expected."""

from typing import Any

import numpy as np

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "0", "é\n",
    "\ud800", "\0", "../x", "/etc/passwd", "x" * 5000, [], [0], [None], [[]], [{}], {}, {"a": []}, [[[[[[[[]]]]]]]],
)  # fmt: skip


def changed(value: Any, random: np.random.Generator) -> Any:
    """`value` with something in it replaced, left out, doubled or added."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = list(value)[random.integers(len(value))]
        match random.integers(8):
            case 0:
                return {name: item for name, item in value.items() if name != key}
            case 1:
                return value | {f"{key}x": value[key]}
            case _:
                return value | {key: changed(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.7:
        at = int(random.integers(len(value)))
        match random.integers(4):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value[: at + 1] * 2
            case _:
                return [*value[:at], changed(value[at], random), *value[at + 1 :]]
    if isinstance(value, int) and not isinstance(value, bool) and random.random() < 0.5:
        return value + int(random.integers(-3, 4))
    return VALUES[random.integers(len(VALUES))]


def flipped(data: bytes, random: np.random.Generator) -> bytes:
    """Bytes with a few changed, cut out or doubled."""
    content = bytearray(data)
    for _ in range(random.integers(1, 4)):
        at = int(random.integers(max(1, len(content))))
        match random.integers(4):
            case 0:
                del content[at : at + int(random.integers(1, 50))]
            case 1:
                content[at:at] = content[at : at + int(random.integers(1, 50))]
            case 2:
                del content[at:]
            case _ if content:
                content[min(at, len(content) - 1)] = random.integers(256)
    return bytes(content)
