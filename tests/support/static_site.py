"""The static page on a server of files, and in a browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import soundfile
import soxr
from browser import PATIENCE, opened
from playwright.sync_api import Browser, Page, expect


class Site:
    """A folder on a server of files, like `python -m http.server`."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []

        class Handler(SimpleHTTPRequestHandler):
            def log_message(handler, *_: Any) -> None:  # noqa: N805
                self.asked.append(handler.path)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    site = Site(folder)
    thread = Thread(target=site.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield site
    finally:
        site.server.shutdown()
        site.server.server_close()
        thread.join()


@contextmanager
def loaded(browser: Browser, site: Site) -> Iterator[Page]:
    """The page with its model loaded."""
    with opened(browser, site.url, site.url) as page:
        expect(page.locator("#hint")).to_contain_text("Press the button", timeout=PATIENCE)
        yield page


def as_wav(recording: Path, folder: Path, rate: int = 16_000) -> Path:
    samples, original = soundfile.read(recording, dtype="float32")
    file = folder / f"{recording.stem}.wav"
    soundfile.write(file, soxr.resample(samples, original, rate), rate, "PCM_16")
    return file
