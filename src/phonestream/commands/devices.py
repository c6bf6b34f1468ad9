"""`phonestream devices`: what `phonestream listen` can listen to."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from .output import Format, native_remarks_off, printable, write
from .shared_options import format_option

if TYPE_CHECKING:
    from ..streaming.audio.devices import Device


def devices(form: Annotated[Format, format_option("one line of JSON for each device")] = Format.text) -> None:
    """List the microphones and other devices that can be listened to."""
    from ..streaming.audio.devices import devices as available

    with native_remarks_off():
        found = available()
    for line in map(json.dumps, as_json(found)) if form is Format.json else as_text(found):
        write(line)


def as_json(found: "list[Device]") -> Iterator[dict[str, object]]:
    """One object for each device."""
    for device in found:
        facts = device._asdict()
        yield {"index": facts.pop("number"), **facts}


def as_text(found: "list[Device]") -> Iterator[str]:
    """A table; a star marks the default device."""
    if not found:
        yield "no device can capture audio: plug a microphone in, or allow this program to use it"
        return
    rows = [
        (
            f"{'*' if device.default else ' '}{device.number:4}",
            printable(device.name),
            printable(device.host_api),
            f"{device.channels} channel{'s' if device.channels > 1 else ''}",
            f"{device.sample_rate} Hz",
        )
        for device in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield "* is the default"
