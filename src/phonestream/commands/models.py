"""`phonestream models`: the models inside the package."""

import json
from typing import Annotated

from .info import describe
from .output import Format, write
from .shared_options import format_option


def models(form: Annotated[Format, format_option("a line of JSON for each")] = Format.text) -> None:
    """List the bundled models, for --model NAME; `phonestream info NAME` says all about one."""
    from ..streaming.model import bundled_models

    for name in bundled_models():
        facts = describe(name)
        if form is Format.json:
            write(json.dumps(facts))
        else:
            write(
                f"{name:<10}  {facts['file_mib']:g} MiB, {facts['look_ahead_ms']:g} ms look-ahead, "
                f"{len(facts['phones'])} phones, version {facts['version']}, {facts['licence']}"
            )
