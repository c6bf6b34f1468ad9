"""The models that tests of the whole path run: those that the package ships."""

import os
from pathlib import Path

import phonestream.models

VARIABLE = "PHONESTREAM_TEST_MODEL"


def shipped_model(name: str = "default") -> Path:
    """A bundled model; where a checkout has none yet, the file that PHONESTREAM_TEST_MODEL names."""
    bundled = Path(phonestream.models.__path__[0]) / f"{name}.onnx"
    if bundled.exists():
        return bundled
    if VARIABLE not in os.environ:
        raise FileNotFoundError(f"{bundled} is missing: restore it, or set {VARIABLE} to a model")
    return Path(os.environ[VARIABLE])
