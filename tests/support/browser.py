"""Debian's Chromium with a microphone that plays a recording, and what tests ask of the page in it."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from model_fixture import shipped_model
from playwright.sync_api import Browser, Page, expect, sync_playwright

from phonestream import Phone, Recognizer, tile
from phonestream.asr.evaluation.score import phone_errors
from phonestream.asr.lexicon.phones import IPA
from phonestream.formats.document import Document
from phonestream.formats.registry import FORMATS, Options
from phonestream.streaming.decoding.config import Decoding

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
LEADING = 0.5  # seconds of silence, of which the browser may take the beginning
SPOKEN = 3  # seconds of a recording that the microphone plays
PHASES = 10  # places in a frame, evenly spread, from which the browser may begin to listen
PATIENCE = 60_000  # milliseconds, on a machine that does other things too


@contextmanager
def chromium(recording: Path, folder: Path) -> Iterator[Browser]:
    """A browser whose microphone plays the first seconds of a recording; `folder` is for files."""
    played = folder / "played.wav"
    soundfile.write(played, *microphone(recording), "PCM_16")
    options = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={played}%noloop",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, address: str, origin: str) -> Iterator[Page]:
    """A page as on a phone's screen; it may ask no host but `origin` for anything, and nothing may go wrong in it."""
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        wrong: list[str] = []
        asked: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        yield page
        assert not wrong
        assert all(url.startswith((origin, f"blob:{origin}", "data:")) for url in asked)


def microphone(recording: Path) -> tuple[np.ndarray, int]:
    """What the microphone plays of a recording, silence before and after it, and the rate."""
    samples, rate = soundfile.read(recording, dtype="float32")
    silence = np.zeros(int(LEADING * rate), np.float32)
    return np.concatenate([silence, samples[: SPOKEN * rate], silence, silence]), rate


def possible(recording: Path, decoder: Decoding = "beam") -> list[list[str]]:
    """The phones of what the microphone plays, from each of `PHASES` places in the model's first frame.

    Audio that is cut into frames elsewhere gives other phones where the model is in doubt, and at which sample the
    browser begins to listen is chance: these are what a page that loses nothing may show.
    """
    recognizer = Recognizer(shipped_model(), decoder=decoder)
    samples, rate = microphone(recording)
    frame = recognizer.metadata.frame_samples * rate // recognizer.metadata.sample_rate
    starts = range(0, frame, frame // PHASES)
    return [[phone.symbol for phone in recognizer.transcribe(samples[start:], rate)] for start in starts]


def check_microphone(page: Page, expected: list[list[str]]) -> None:
    """The page shows one of the `expected`, but for one phone: the browser converts the rate once more than they do.

    No line of it is empty, whatever pauses the guesses had on the way.
    """
    assert page.locator("#lines li:not(:has([data-symbol]))").count() == 0
    heard = symbols(page)
    nearest = min(expected, key=lambda phones: phone_errors(phones, heard).total)
    assert phone_errors(nearest, heard).total <= 1, f"expected {nearest}, heard {heard}"


def hear(page: Page, file: Path) -> None:
    """Open a file, and wait until all of it was heard, or refused."""
    page.evaluate("document.body.dataset.state = 'asked'")
    page.set_input_files("#file", file)
    expect(page.locator("body[data-state=idle]")).to_be_attached(timeout=PATIENCE)


def hear_microphone(page: Page, expected: list[list[str]]) -> None:
    """Wait until three quarters of the phones are shown, and for what the rest takes to be spoken and heard."""
    fewest = min(map(len, expected))
    expect(page.locator("[data-symbol]").nth(fewest * 3 // 4 - 1)).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(2000)


def check_result(page: Page, file: str, transcript: dict[str, Any]) -> None:
    """What the page shows of `file` is saved as Python writes it, copied, and played with the time at the cursor."""
    phones = [Phone(**phone) for phone in transcript["phones"]]
    document = Document(file, transcript["seconds"], phones, tile(phones, transcript["seconds"]))
    for ending, form in (("TextGrid", "textgrid"), ("srt", "srt"), ("json", "json")):
        with page.expect_download() as saved:
            page.locator(f"[data-format={ending}]").click()
        assert saved.value.suggested_filename == f"{Path(file).stem}.{ending}"
        written, expected = saved.value.path().read_text(), FORMATS[form].write(document, Options()).decode()
        same = json.loads(written) == json.loads(expected) if form == "json" else written == expected
        assert same, (written, expected)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#copy").click()
    expect(page.locator("#copy")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert [word for word in copied.split() if word.isalpha()] == symbols(page)
    page.locator("#play").press("Enter")
    expect(page.locator("#time")).to_have_text(re.compile(r"0\.[1-9] s"), timeout=PATIENCE)
    page.locator("#play").press("Enter")
    expect(page.locator("#play")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#time")).to_have_text(f"{transcript['seconds']:.1f} s")


def symbols(page: Page) -> list[str]:
    """The phones that the page shows, by their ARPAbet names."""
    shown: list[str] = page.eval_on_selector_all(
        "[data-symbol]", "marks => marks.map(mark => mark.dataset.symbol)"
    )
    return shown


def check_ipa(page: Page) -> None:
    """The page shows all phones in IPA once that is chosen, by keyboard, and ARPAbet again."""
    expected = symbols(page)
    page.locator("input[value=ipa]").press("Space")
    assert page.locator("[data-symbol]").all_text_contents() == [IPA[symbol] for symbol in expected]
    page.locator("input[value=arpabet]").press("Space")
    assert page.locator("[data-symbol]").all_text_contents() == expected
