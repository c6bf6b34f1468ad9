"""Writes the static page: the server's page, a model file, and ONNX Runtime Web in the place of the server.

What is served runs as it lies there, from any server of files and any folder of it: all addresses are relative, and the
page's Content-Security-Policy lets nothing in it ask another host. The pieces are

    index.html, page.js, ...         of the server's page (`streaming/server/page/`), but for what `EDITS` changes
    engine.js, worker.js, ...        of `page/` beside this module: the recogniser
    onnxruntime/                     ONNX Runtime Web as it comes, with its licences
    model.onnx, model.json           the model, and its metadata in a form that needs no protobuf
    phones.lm                        the language model of phones, for beam search and for keywords
    dictionary.deflate               pronunciations of words, for keywords and commands
"""

import hashlib
import json
import re
from collections.abc import Iterable
from importlib import metadata as distribution
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from ...asr.lexicon.phones import PHONES
from ...atomic import write_together
from ...errors import ConfigError, ModelError, system_errors_as
from ..decoding.config import BeamSearch, Decoding, check_decoding
from ..decoding.decoder import BeamDecoder
from ..decoding.load import read_bytes, speaks
from ..metadata import FORMAT_KEY, ModelMetadata
from ..model import Model, read_model
from ..server import page
from ..spotting.spotter import boundary_model
from .spotting import packed_dictionary, parameters

RUNTIME_VERSION = "1.23.2"  # of onnxruntime-web on npm, and of onnxruntime on PyPI, which has the licences
WASM = "onnxruntime/ort-wasm-simd-threaded.wasm"
RUNTIME = {
    # Under the name of a script of the older kind: some servers do not know that .mjs is JavaScript.
    "onnxruntime/ort.wasm.bundle.min.js": "ort.wasm.bundle.min.mjs",
    WASM: "ort-wasm-simd-threaded.wasm",
    "onnxruntime/LICENSE": "LICENSE",
    "onnxruntime/ThirdPartyNotices.txt": "ThirdPartyNotices.txt",
}
"""ONNX Runtime Web, by its names in the page's folder."""

DESCRIPTION = "model.json"
LANGUAGE_MODEL, SPOTTING_MODEL, DICTIONARY = "phones.lm", "spotting.lm", "dictionary.deflate"
MARK = f'"{FORMAT_KEY}"'.encode()

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
EDITS = (
    (
        r'<meta charset="utf-8" />',
        f'\\g<0>\n    <meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}" />',
    ),
    (r'src="server\.js"', 'src="engine.js"'),
    (
        r'(<figcaption id="hint">)[^<]*',
        r"\1This page needs a server of files, for example: python -m http.server -d FOLDER",
    ),
    (r'\n *<form id="key".*?</form>', ""),
    (
        r'(<p id="where">)[^<]*',
        r"\1Audio stays in this browser. Nothing is sent anywhere, and nothing is kept. "
        r'<a href="licences.txt">Licences and credits</a>',
    ),
)
"""What is different in `index.html` from the server's: each pattern is found once. The hint is what somebody reads who
opens the file itself, where browsers run no modules; `engine.js` puts the invitation in its place."""
NO_PHRASES = tuple((rf'\n *<label id="{name}">.*?</label>\n', "") for name in ("spotting", "commanding"))


class Page(NamedTuple):
    """A page that was written."""

    folder: Path
    model: str
    files: int
    size: int  # bytes


def export_page(model: str | PathLike[str], folder: Path, *, decoder: Decoding | None = None) -> Page:
    """Write the page of a model file, or of a bundled model, into `folder`, which is made if need be.

    `decoder` is how the page decodes, as for `Recognizer`. A page that is there already is replaced, whole or not at
    all; other files in the folder stay. `model.json`, by which a page is known again, takes its name first, and
    `index.html` last, so that there is no page before it is whole.

    Raises:
        ModelError: the model or the decoder's language model cannot be used; then nothing is written.
        ConfigError: the folder holds other files of such names, or a file cannot be written, and then nothing has
            changed; or `decoder` is something else.
    """
    content, metadata = _open(model)
    if decoder is None:
        decoder = "beam" if speaks("default", tuple(metadata.phones)) else "greedy"
    parts = _parts(content, metadata, check_decoding(decoder))
    _check_folder(folder, parts)
    remedy = "choose a folder that you may write to, with 20 MiB of room"
    with system_errors_as(ConfigError, f"{folder}: the page could not be written", remedy):
        write_together({folder / name: part for name, part in parts.items()})
    return Page(folder, metadata.name, len(parts), sum(map(len, parts.values())))


def _open(model: str | PathLike[str]) -> tuple[bytes, ModelMetadata]:
    """The bytes of a model that runs, and what they say of themselves."""
    opened = Model(model)
    content = read_model(model)
    if hashlib.sha256(content).hexdigest() != opened.sha256:
        raise ModelError(f"{opened.source}: changed while it was read; try again when it is complete")
    return content, opened.metadata


def _parts(model: bytes, metadata: ModelMetadata, search: BeamSearch | None) -> dict[str, bytes]:
    """The content of each file, in the order in which they are to be written."""
    here, shared = files(__package__), page.contents()
    runtime = {name: (here / "onnxruntime" / origin).read_bytes() for name, origin in RUNTIME.items()}
    description = _description(model, metadata, len(runtime[WASM]))
    language_model: dict[str, bytes] = {}
    if search is not None:
        description["search"], language_model = _search(metadata, search)
    spotting = boundary_model(tuple(metadata.phones)) is not None and set(PHONES) <= set(metadata.phones)
    if spotting:
        description["spotting"], files_of_it = _spotting(search)
        language_model |= files_of_it
    parts = {
        DESCRIPTION: json.dumps(description, indent=1).encode(),
        "model.onnx": model,
        **runtime,
        **language_model,
    }
    parts["licences.txt"] = _licences(metadata).encode()
    scripts = {entry.name: entry for entry in (here / "page").iterdir() if entry.name.endswith(".js")}
    parts |= {name: scripts[name].read_bytes() for name in sorted(scripts)}
    index = edited(shared.pop("index.html").decode(), spotting).encode()
    del shared["server.js"]  # engine.js is in its place
    return parts | shared | {"index.html": index}


def _description(model: bytes, metadata: ModelMetadata, wasm: int) -> dict[str, object]:
    """What the page must know of its model before it has it."""
    values = {key: json.loads(value) for key, value in metadata.to_map().items()}
    return {
        "metadata": values,
        "model": _file("model.onnx", model),
        "runtime": {"url": f"{WASM}?{RUNTIME_VERSION}", "bytes": wasm},
    }


def _search(metadata: ModelMetadata, search: BeamSearch) -> tuple[dict[str, object], dict[str, bytes]]:
    """What the page must know to search as `search` says, and the language model's file.

    Raises:
        ConfigError: there is no packed language model that a browser could read.
    """
    if search.lm is None:
        raise ConfigError(
            "a page that decodes by beam search needs a language model: name one, or decode greedily"
        )
    decoder = BeamDecoder(metadata.decoder, search)
    content = read_bytes(search.lm)
    return (
        {"settings": decoder.parameters(), "lm": _file(LANGUAGE_MODEL, content)},
        {LANGUAGE_MODEL: content},
    )


def _spotting(search: BeamSearch | None) -> tuple[dict[str, object], dict[str, bytes]]:
    """What the page must know for keywords and commands, and the files for it, that of `search` perhaps among them."""
    name = LANGUAGE_MODEL if search is None or search.lm == "default" else SPOTTING_MODEL
    lm, dictionary = read_bytes("default"), packed_dictionary()
    described = {"lm": _file(name, lm), "dictionary": _file(DICTIONARY, dictionary)}
    return {"settings": parameters(), **described}, {name: lm, DICTIONARY: dictionary}


def _file(name: str, content: bytes) -> dict[str, object]:
    """How the page asks for a file. Servers of files ignore what follows `?`, but no browser then takes an earlier one
    from its cache."""
    return {"url": f"{name}?{hashlib.sha256(content).hexdigest()[:16]}", "bytes": len(content)}


def _licences(metadata: ModelMetadata) -> str:
    """Whom to credit for what."""
    package = distribution.distribution("phonestream")
    pronunciations = (files("phonestream.asr.lexicon.data") / "cmudict.LICENSE").read_text("utf-8")
    terms = package.read_text("licenses/LICENSE") or "https://www.apache.org/licenses/LICENSE-2.0\n"
    return (
        f"The model {metadata.name}, version {metadata.version} (model.onnx)\n"
        f"Licence: {metadata.licence}\nTrained on: {metadata.training_data}\n\n"
        f"ONNX Runtime Web {RUNTIME_VERSION} (onnxruntime/), Copyright (c) Microsoft Corporation\n"
        "Licence: MIT, in onnxruntime/LICENSE; its parts: onnxruntime/ThirdPartyNotices.txt\n\n"
        f"CMUdict ({DICTIONARY}), where the page looks for keywords and commands\n\n{pronunciations}\n"
        f"The page: Phonestream {package.version}, Apache License 2.0, which follows\n\n{terms}"
    )


def edited(page: str, spotting: bool) -> str:
    """The server's `index.html` as the static page's: with `EDITS`; without fields for phrases if not `spotting`."""
    for pattern, replacement in EDITS if spotting else (*EDITS, *NO_PHRASES):
        page, count = re.subn(pattern, replacement, page, flags=re.DOTALL)
        assert count == 1, f"index.html has {count} places like {pattern}"
    return page


def _check_folder(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder that holds files of these names which are not an earlier page's.

    Raises:
        ConfigError: so it is.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder}: is a file; give the name of a folder")
        taken = [name for name in names if (folder / name).exists()]
        ours = not taken or MARK in (folder / DESCRIPTION).read_bytes()
    except FileNotFoundError:
        ours = False
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be read: {error.strerror}; choose another folder") from None
    if not ours:
        raise ConfigError(f"{folder}: holds something else ({', '.join(taken)}); choose another folder")
