"""ELAN's annotation format: a tier of phones, and one of words where there are words, linked to the recording."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from urllib.parse import quote
from xml.etree import ElementTree

from .document import Document
from .options import Options
from .units import Label, milliseconds, named, tier

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_MEDIA_TYPES = {  # ELAN's own names, where it has any
    ".wav": "audio/x-wav",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".aif": "audio/x-aiff",
    ".aiff": "audio/x-aiff",
    ".mp4": "video/mp4",
    ".mpg": "video/mpeg",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
}
_NESTED = "Included_In"
_NESTED_MEANS = "Time alignable annotations within the parent annotation's time interval, gaps are allowed"
# A date is required, and the time of writing would make equal results differ.
_DATE = "1970-01-01T00:00:00Z"
# XML 1.0 (2.2) knows no other characters, however they are escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(document: Document, options: Options) -> Iterator[bytes]:
    """`write_tiers` of what the document has."""
    heard = named(document, options)
    tiers: dict[str, Sequence[Label]] = {
        tier(options): [(entry.symbol, entry.start, entry.end) for entry in heard]
    }
    if options.scores:
        tiers["scores"] = [(f"{entry.confidence:.2f}", entry.start, entry.end) for entry in heard]
    if document.words:
        tiers["words"] = [(word.text, word.start, word.end) for word in document.words]
    if document.lines:
        tiers["utterances"] = [(line.symbol, line.start, line.end) for line in document.lines]
    yield write_tiers(tiers, document.file, document.channel, options.folder)


def write_tiers(
    tiers: Mapping[str, Sequence[Label]], file: str, channel: int | None, folder: str | None = None
) -> bytes:
    """A document after the schema EAF 3.0 (Max Planck Institute for Psycholinguistics), times in milliseconds.

    Silence is where no annotation is. The recording is named as it was given and, for ELAN to find it, by the way
    to it from the document.

    Args:
        tiers: by name, labels that do not overlap.
        file: the recording.
        channel: counted from 1; None where channels were mixed.
        folder: of the document; None: the recording is beside it.
    """
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "Phonestream",
            "DATE": _DATE,
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": _INSTANCE,
            "xsi:noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    parents = _parents(tiers)
    annotations = sum(map(len, tiers.values()))

    header = ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", _media(file, folder))
    last = ElementTree.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId")
    last.text = str(annotations)

    times = (
        milliseconds(time) for entries in tiers.values() for _, start, end in entries for time in (start, end)
    )
    slots = {time: f"ts{number}" for number, time in enumerate(sorted(set(times)), start=1)}
    order = ElementTree.SubElement(root, "TIME_ORDER")
    for time, slot in slots.items():
        ElementTree.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(time))

    before = 0
    for name, entries in tiers.items():
        attributes = {"LINGUISTIC_TYPE_REF": name, "TIER_ID": name}
        if channel is not None:
            attributes["PARTICIPANT"] = f"channel {channel}"
        if name in parents:
            attributes["PARENT_REF"] = parents[name]
        element = ElementTree.SubElement(root, "TIER", attributes)
        _annotate(element, entries, slots, before)
        before += len(entries)
    for name in tiers:
        constraint = {"CONSTRAINTS": _NESTED} if name in parents else {}
        ElementTree.SubElement(
            root,
            "LINGUISTIC_TYPE",
            constraint,
            GRAPHIC_REFERENCES="false",
            LINGUISTIC_TYPE_ID=name,
            TIME_ALIGNABLE="true",
        )
    if parents:
        ElementTree.SubElement(root, "CONSTRAINT", DESCRIPTION=_NESTED_MEANS, STEREOTYPE=_NESTED)
    ElementTree.indent(root)
    return (
        b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode").encode() + b"\n"
    )


def _parents(tiers: Mapping[str, Sequence[tuple[str, float, float]]]) -> dict[str, str]:
    """Tiers whose annotations all lie within words, one each: they hang under the tier of words."""
    words = [(milliseconds(start), milliseconds(end)) for _, start, end in tiers.get("words", ())]

    def nested(entries: Sequence[tuple[str, float, float]]) -> bool:
        place = 0
        for _, start, end in entries:
            while place < len(words) and words[place][1] <= milliseconds(start):
                place += 1
            if (
                place == len(words)
                or not words[place][0] <= milliseconds(start) <= milliseconds(end) <= words[place][1]
            ):
                return False
        return True

    return {name: "words" for name, entries in tiers.items() if words and name != "words" and nested(entries)}


def _annotate(
    element: ElementTree.Element,
    entries: Sequence[Label],
    slots: Mapping[int, str],
    before: int,
) -> None:
    """Put `entries` into a tier's element, where `before` annotations are in other tiers before it."""
    for number, (label, start, end) in enumerate(entries, start=before + 1):
        outer = ElementTree.SubElement(element, "ANNOTATION")
        inner = ElementTree.SubElement(
            outer,
            "ALIGNABLE_ANNOTATION",
            ANNOTATION_ID=f"a{number}",
            TIME_SLOT_REF1=slots[milliseconds(start)],
            TIME_SLOT_REF2=slots[milliseconds(end)],
        )
        ElementTree.SubElement(inner, "ANNOTATION_VALUE").text = _NOT_XML.sub("\ufffd", label)


def _media(file: str, folder: str | None) -> dict[str, str]:
    """Where the recording is, and where as seen from `folder`: URLs, in which every byte of a name has its place."""
    path = PurePath(file)
    way = os.path.join(".", path.name)
    if folder is not None and "://" not in file:
        with suppress(ValueError):  # they are on two drives of Windows: then no way leads there
            way = os.path.relpath(file, folder)
    url = Path(file).as_uri() if path.is_absolute() else quote(os.fsencode(file), safe="/:")
    return {
        "MEDIA_URL": url,
        "RELATIVE_MEDIA_URL": quote(os.fsencode(way).replace(os.fsencode(os.sep), b"/")),
        "MIME_TYPE": _MEDIA_TYPES.get(path.suffix.lower(), "unknown"),
    }
