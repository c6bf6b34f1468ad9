"""A command's options as one value: a frozen dataclass whose fields are what typer reads from a signature."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


def options_from(options: type[T]) -> Callable[[Callable[[T], None]], Callable[..., None]]:
    """Make a command of a function of `options`, a dataclass with `Annotated` fields in the order of the help page."""

    def decorate(command: Callable[[T], None]) -> Callable[..., None]:
        @wraps(command)
        def call(**values: Any) -> None:
            command(options(**values))

        call.__signature__ = inspect.signature(options)  # type: ignore[attr-defined]
        call.__annotations__ = get_type_hints(options, include_extras=True)
        return call

    return decorate
