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
    """Whether it is a text, and not empty."""
    return isinstance(value, str) and value != ""
