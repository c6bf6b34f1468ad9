"""The page in a real browser, Debian's Chromium: what it shows is what the command line hears."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import (
    PATIENCE,
    check_ipa,
    check_microphone,
    check_result,
    hear,
    hear_microphone,
    opened,
    possible,
    symbols,
)
from playwright.sync_api import Browser, Page, expect
from server_process import Process, serving, transcribed

from phonestream.asr.lexicon.phones import IPA

PAGE = Path(__file__).parent.parent / "streaming" / "server" / "page"
TOKEN = "s3cret"


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    with serving("--token", TOKEN) as process:
        yield process


@pytest.fixture
def page(browser: Browser, server: Process) -> Iterator[Page]:
    with opened(browser, f"{server.url}/#token={TOKEN}", server.url) as page:
        expect(page.locator("body[data-state=idle]")).to_be_attached()
        yield page


def test_files_show_the_command_lines_phones(page: Page, recordings: list[Path]) -> None:
    for recording, transcript in zip(recordings[:3], transcribed(*recordings[:3]), strict=True):
        hear(page, recording)
        assert symbols(page) == [phone["symbol"] for phone in transcript["phones"]], recording.name
        expect(page.locator("#time")).to_have_text(f"{transcript['seconds']:.1f} s")
    check_result(page, recording.name, transcript)
    check_ipa(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than a phone"


def test_what_is_missing_in_a_file_is_counted(page: Page, recordings: list[Path]) -> None:
    hear(page, Path(__file__).parent / "data/audio/clock-jumps.opus")
    expect(page.locator("#lost")).to_have_text("0.01 s")
    expect(page.get_by_role("alert")).to_have_text("clock-jumps.opus: lacks 0.01 s of audio from 1.01 s on.")
    hear(page, recordings[0])
    expect(page.locator("#lost")).to_have_text("0 s")


def test_a_file_that_begins_with_silence_is_shown_from_its_first_phoneme(
    page: Page, recording: Path, tmp_path: Path
) -> None:
    samples, rate = soundfile.read(recording)
    soundfile.write(tmp_path / "late.wav", np.concatenate([np.zeros(8 * rate), samples]), rate)
    hear(page, tmp_path / "late.wav")
    (first,) = page.eval_on_selector_all("[data-symbol]:first-of-type", "marks => [marks[0].title]")
    assert float(first.split()[0]) > 8
    page.locator("#play").press("Enter")  # plays from where what is seen begins
    expect(page.locator("#time")).to_have_text(re.compile(r"^([89]|1\d)\.\d s"), timeout=PATIENCE)
    page.locator("#play").press("Enter")


def test_the_fields_are_below_each_other(page: Page) -> None:
    page.set_viewport_size({"width": 1100, "height": 900})
    boxes = """names => names.map(name => {
        const box = document.querySelector(name).getBoundingClientRect();
        return [box.left, box.width, box.height];
    })"""
    field, other = page.evaluate(boxes, ["#keywords", "#commands"])
    assert field[:2] == other[:2]
    label, longer = page.evaluate(boxes, ["#spotting span", "#commanding span"])
    assert label == longer  # one line each


def test_the_microphone_is_heard(page: Page, recording: Path) -> None:
    expected = possible(recording)
    page.fill("#keywords", "umbrella")
    page.fill("#commands", "lamp (on | off), turn it off")
    page.locator("#listen").press("Enter")
    page.fill("#keywords", "blue knee, umbrella")
    page.press("#keywords", "Enter")
    hear_microphone(page, expected)
    expect(page.locator("#spotted span", has_text="blue knee")).to_be_visible(timeout=PATIENCE)
    for field, phrases, told in (
        ("#keywords", "…", re.compile("no letters")),
        ("#keywords", "umbrella", ""),
        ("#commands", "lamp (on", re.compile("lamp ")),
        ("#commands", "stop, turn it off", ""),
    ):
        page.fill(field, phrases)
        page.press(field, "Enter")
        expect(page.get_by_role("alert")).to_have_text(told, timeout=PATIENCE)
    assert re.fullmatch(r"\d+\.\d\d s", page.locator("#latency").inner_text())
    page.locator("#listen").press("Enter")
    expect(page.locator("body[data-state=idle]")).to_be_attached()
    expect(page.locator("#spotted span")).to_have_text(["none of the commands", "blue knee"])
    check_microphone(page, expected)


def test_the_page_asks_for_the_token_it_lacks(browser: Browser, server: Process, recording: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        page.set_input_files("#file", recording)
        page.fill("#keywords", "blue silk, umbrella")
        page.fill("#commands", "lamp (on | off), turn it off")
        page.fill("#token", TOKEN)
        page.press("#token", "Enter")
        expect(page.locator("#key")).to_be_hidden()
        page.set_input_files("#file", recording)
        expect(page.locator("[data-symbol]").first).to_be_visible(timeout=PATIENCE)
        expect(page.locator("#spotted span")).to_have_text(["none of the commands", "blue silk"])


def test_what_is_wrong_with_a_file_is_told(browser: Browser, server: Process, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("no audio")
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{server.url}/#token={TOKEN}")
        page.set_input_files("#file", tmp_path / "notes.wav")
        expect(page.get_by_role("alert")).to_contain_text("notes.wav: is not audio")
        noise = np.random.default_rng(0).uniform(-0.3, 0.3, 8000)
        soundfile.write(tmp_path / "swapped.wav", np.stack([noise, -noise], axis=1), 16_000)
        hear(page, tmp_path / "swapped.wav")
        expect(page.get_by_role("alert")).to_contain_text("swapped.wav: its 2 channels cancel")


def test_the_pages_ipa_is_the_packages() -> None:
    table = re.findall(r'(\w+): "([^"]+)"', (PAGE / "ipa.js").read_text(encoding="utf-8"))
    assert dict(table) == IPA


def test_the_page_names_no_other_host() -> None:
    for file in PAGE.glob("*.*"):
        if file.suffix in (".html", ".js", ".css"):
            assert not re.search(
                r"(?:https?:)?//\w+\.\w+|@import|eval\(", file.read_text(encoding="utf-8")
            ), file.name
