"""Whether a value of a JSON text, or of a caller, is of the kind that is expected. A truth value is no number."""

import sys
from typing import TypeGuard

LARGEST = sys.float_info.max


def is_integer(value: object, low: int, high: int) -> TypeGuard[int]:
    """Whether it is a whole number from `low` to `high`."""
    return type(value) is int and low <= value <= high


def is_number(value: object, low: float = -LARGEST, high: float = LARGEST) -> TypeGuard[int | float]:
    """Whether it is a finite number from `low` to `high`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is a text, not empty and without halves of characters, which no file or message can hold."""
    return isinstance(value, str) and value != "" and not any("\ud800" <= sign <= "\udfff" for sign in value)
