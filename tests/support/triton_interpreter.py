"""Makes Triton interpret its kernels where there is no GPU. To be imported before anything imports Triton.

Triton decides by an environment variable, as each kernel is decorated. It is set only while Triton and our kernels are
imported, so that programs started by other tests do not inherit it. Nothing can be compiled in this process then:
ahead-of-time compilation is tested in others.
"""

import importlib
import os
import sys
from typing import Any

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # where tests run the backend `triton`


def _interpret() -> None:
    assert "triton" not in sys.modules, "Triton was imported before it was told to interpret"
    before = os.environ.get("TRITON_INTERPRET")
    os.environ["TRITON_INTERPRET"] = "1"
    try:
        from triton.runtime import interpreter

        importlib.import_module(
            "triton.experimental.gluon"
        )  # insists on the variable; the first launch imports it

        from phonestream.kernels import triton_launch
    finally:
        del os.environ["TRITON_INTERPRET"]
        if before is not None:
            os.environ["TRITON_INTERPRET"] = before
    assert triton_launch.INTERPRETED

    # At each call of a function by a kernel the interpreter puts its own versions of all operations into the language
    # once more, which takes longer than the function; and it checks every integer operation for overflow by a second
    # one of 64 bits. Once is enough, and these tests have no tensors to overflow.
    prepared: set[str] = set()

    def call(function: Any, *args: Any, **kwargs: Any) -> Any:
        if function.fn.__module__ not in prepared:
            prepared.add(function.fn.__module__)
            interpreter._patch_lang(function.fn)
        return function.rewrite()(*args, **kwargs)

    interpreter.InterpretedFunction.__call__ = call
    interpreter.interpreter_builder.options = interpreter.InterpreterOptions(sanitize_overflow=False)


if DEVICE == "cpu":
    _interpret()
