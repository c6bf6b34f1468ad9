"""The static page in Debian's Chromium: alone, with the network off, it hears what the command line hears."""

import base64
import hashlib
import io
import json
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from browser import (
    PATIENCE,
    check_ipa,
    check_microphone,
    hear,
    hear_microphone,
    opened,
    possible,
    symbols,
)
from full_disk import contents, files_of_at_most
from playwright.sync_api import Browser, Error, Page, expect
from server_process import COMMAND, transcribed
from static_site import Site, as_wav, loaded, serving
from toy_model import levels, summing, toy_metadata, toy_model

from phonestream import AudioError, ConfigError, Keywords, Recognizer
from phonestream.asr.lexicon.phones import PHONES
from phonestream.cli import main
from phonestream.streaming.arrays import AnyArray
from phonestream.streaming.audio import resample
from phonestream.streaming.audio.channels import Mixed
from phonestream.streaming.audio.files import open_audio
from phonestream.streaming.audio.samples import mono
from phonestream.streaming.decode import Decoder, DecoderState
from phonestream.streaming.decoding.config import BeamSearch
from phonestream.streaming.decoding.decoder import BeamDecoder
from phonestream.streaming.silence import (
    Silence,
    SilenceRule,
    after_call,
    frames_to_border,
    may_be_silent,
    put_back,
    remember,
    valid_frames,
)
from phonestream.streaming.spotting.change import change
from phonestream.streaming.spotting.spotter import Spotter, Spotting, boundary_model
from phonestream.streaming.web import static
from phonestream.streaming.web.static import RUNTIME, export_page

PAGE = Path(__file__).parent.parent / "docs/static-page.md"
LAMP = Path(__file__).parent.parent / "examples/lamp.html"
VENDORED = Path(static.__file__).parent / "onnxruntime"
NPM = {  # of the npm package onnxruntime-web 1.23.2 and, which that one lacks, of the PyPI package onnxruntime 1.23.2
    "ort.wasm.bundle.min.mjs": "cace3b98bee45c1c40ed04e07b984fb66012acacb702e6aecd9008239bf35e99",
    "ort-wasm-simd-threaded.wasm": "45eaee27761ad883742a8d4b8fce1538d60ce43b51adf1726fafccc59b8c1a15",
    "LICENSE": "2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c",
    "ThirdPartyNotices.txt": "e9e90971a8e75a9a8ac0c6412e29c1202d079998389915aa485f46c816c3b4cc",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model's page, as the installed command exports it."""
    folder = tmp_path_factory.mktemp("web") / "the page"
    command = [COMMAND, "export", "--web", folder]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert f"python -m http.server -d '{folder}'" in output
    return folder


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Site]:
    with serving(folder) as site:
        yield site


@pytest.fixture(scope="module")
def offline(browser: Browser, site: Site) -> Iterator[Page]:
    """The page, and from now on no network."""
    with loaded(browser, site) as page:
        page.context.set_offline(True)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        yield page
        assert all(url.startswith(f"blob:{site.url}") for url in asked)


@pytest.fixture(scope="module")
def tools(browser: Browser, site: Site) -> Iterator[Page]:
    """A document beside the page, in which the page's modules can be called."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{site.url}model.json")
        yield page


def check(page: Page, transcript: dict[str, Any]) -> None:
    """The page shows these phones, and when one is pointed at its times and confidence."""
    expected = transcript["phones"]
    assert symbols(page) == [phone["symbol"] for phone in expected], transcript["file"]
    titles = page.eval_on_selector_all("[data-symbol]", "marks => marks.map(mark => mark.title)")
    shown = [[float(number) for number in re.findall(r"\d+\.\d+", title)] for title in titles]
    numbers = [[phone[key] for key in ("start", "end", "confidence")] for phone in expected]
    np.testing.assert_allclose(shown, numbers, atol=0.0101)  # the page rounds, and so does JSON
    expect(page.locator("#time")).to_have_text(f"{transcript['seconds']:.1f} s")


def test_files_show_the_command_lines_phones_with_the_network_off(
    offline: Page, recordings: list[Path], tmp_path: Path
) -> None:
    rates = (16_000, 16_000, 16_000, 44_100)
    files = [as_wav(file, tmp_path, rate) for file, rate in zip(recordings, rates, strict=False)]
    for file, transcript in zip(files, transcribed(*files), strict=True):
        hear(offline, file)
        check(offline, transcript)
    check_ipa(offline)
    assert offline.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than a phone"


def test_the_module_hears_in_pages_of_ones_own(tools: Page, recording: Path, tmp_path: Path) -> None:
    """The example of docs/static-page.md as it stands there, its `import` as a function has it."""
    (example,) = re.findall(r"```js\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    example = re.sub(r"import (.*) from (.*);", r"const \1 = await import(\2);", example)
    file = as_wav(recording, tmp_path)
    samples, rate = soundfile.read(file, dtype="float32")
    phones, said = tools.evaluate(
        f"""async ([values, rate]) => {{
          const [samples, said] = [new Float32Array(values), []];
          const console = {{ log: (value) => said.push(value) }};
          {example}
          recognizer.close();
          return [phones, said];
        }}""",
        [samples.tolist(), rate],
    )
    ((transcript),) = transcribed(file)
    assert [phone["symbol"] for phone in phones] == [phone["symbol"] for phone in transcript["phones"]]
    events = [event for event in said if isinstance(event, dict)]
    streamed = [event for event in events if event["event"] == "phone"]
    assert [{"event": "phone", **phone} for phone in phones] == streamed
    assert {event["phrase"] for event in events if event["event"] == "spotted"} == {"blue silk"}
    assert said[-1] == pytest.approx(transcript["seconds"])


def test_the_microphone_is_heard_and_nothing_is_lost_while_the_recogniser_is_behind(
    offline: Page, recording: Path
) -> None:
    expected = possible(recording)
    offline.fill("#keywords", "blue silk")
    offline.locator("#listen").press("Enter")
    offline.fill("#keywords", "blue silk, blue knee")
    offline.press("#keywords", "Enter")
    expect(offline.locator("#time")).to_have_text(re.compile("[1-9].*"), timeout=PATIENCE)
    offline.workers[0].evaluate("() => { for (const end = Date.now() + 2000; Date.now() < end; ); }")
    offline.locator("#behind.some").wait_for()
    hear_microphone(offline, expected)
    for phrases, told in (("qxz", re.compile("cannot say")), ("umbrella", "")):
        offline.fill("#keywords", phrases)
        offline.press("#keywords", "Enter")
        expect(offline.get_by_role("alert")).to_have_text(told, timeout=PATIENCE)
    offline.locator("#listen").press("Enter")
    expect(offline.locator("body[data-state=idle]")).to_be_attached(timeout=PATIENCE)
    expect(offline.locator("#behind")).to_have_text("0 s")
    expect(offline.locator("#lost")).to_have_text("0 s")
    expect(offline.locator("#spotted span")).to_have_text(["blue silk", "blue knee"])
    check_microphone(offline, expected)


def test_a_lamp_is_lit_by_voice(browser: Browser, folder: Path, site: Site) -> None:
    (folder / LAMP.name).write_bytes(LAMP.read_bytes())
    with opened(browser, f"{site.url}{LAMP.name}", site.url) as page:
        page.fill("#on", "blue silk")
        page.get_by_role("button", name="Listen").click(timeout=PATIENCE)
        page.locator("#lamp.lit").wait_for(timeout=PATIENCE)
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name="Listen").wait_for(timeout=PATIENCE)
        expect(page.get_by_role("alert")).to_be_empty()


def test_a_file_that_cannot_be_used_is_told_and_the_next_one_heard(
    offline: Page, recording: Path, tmp_path: Path
) -> None:
    file = as_wav(recording, tmp_path)
    (tmp_path / "notes.wav").write_text("no audio")
    (tmp_path / "cut.wav").write_bytes(file.read_bytes()[:100_000])
    soundfile.write(tmp_path / "nan.wav", np.full(1000, np.nan, np.float32), 16_000, "FLOAT")
    samples, rate = soundfile.read(file, dtype="int16")
    soundfile.write(tmp_path / "swapped.wav", np.stack([samples, -samples], axis=1), rate)
    for name, message in {
        "swapped.wav": "swapped.wav: its 2 channels cancel each other when mixed",
        "notes.wav": "notes.wav: this browser cannot decode it",
        "cut.wav": "cut.wav: breaks off after 3.12 of",
        "nan.wav": "not numbers",
    }.items():
        hear(offline, tmp_path / name)
        expect(offline.get_by_role("alert")).to_contain_text(message)
        assert symbols(offline) == []
    offline.fill("#keywords", "a lamp, blue silk, qxz")
    hear(offline, file)
    expect(offline.get_by_role("alert")).to_contain_text("“qxz”, which this page cannot say")
    offline.fill("#keywords", "a lamp, blue silk")
    hear(offline, file)
    expect(offline.get_by_role("alert")).to_be_empty()
    expect(offline.locator("#spotted span")).to_have_text("blue silk")
    assert symbols(offline)


def test_a_page_that_was_copied_in_part_says_so(browser: Browser, tmp_path: Path) -> None:
    folder = export_page(toy_model(tmp_path / "toy.onnx"), tmp_path / "web").folder
    with serving(folder) as site, browser.new_context() as context:
        for content, message in (
            (b"half", "is not the file that was exported"),
            (None, "cannot be loaded (404)"),
        ):
            (folder / "model.onnx").write_bytes(content) if content else (folder / "model.onnx").unlink()
            page = context.new_page()
            page.goto(site.url)
            expect(page.locator("#hint")).to_contain_text(
                f"cannot start: model.onnx {message}", timeout=PATIENCE
            )


def test_no_part_of_the_page_can_ask_another_host(browser: Browser, site: Site, tmp_path: Path) -> None:
    with serving(tmp_path) as other, browser.new_context() as context:
        page = context.new_page()
        page.goto(site.url)
        expect(page.locator("#hint")).to_contain_text("Press the button", timeout=PATIENCE)
        for place in (page, page.workers[0]):
            with pytest.raises(Error, match="Failed to fetch"):
                place.evaluate(f"fetch('{other.url}', {{ mode: 'no-cors' }})")
            with pytest.raises(Error, match=r"NetworkError|Failed to|SecurityError|Refused"):
                place.evaluate(f"import('{other.url}script.js')")
        page.evaluate(
            f"navigator.sendBeacon('{other.url}', 'audio'); new Image().src = '{other.url}picture.png'"
        )
        page.wait_for_timeout(300)
        assert other.asked == []


def test_two_rows_a_frame_and_other_phones_are_the_models_own(browser: Browser, tmp_path: Path) -> None:
    model = toy_model(
        tmp_path / "toy.onnx",
        rows_per_frame=2,
        blank=2,
        time_offset_seconds=0.013,
        temperature=7.0,
        look_ahead_frames=3,
    )
    export_page(model, tmp_path / "web")
    audio = np.concatenate([levels(1, 1, 3, 2, 5, 0, 0, 4, samples=320), levels(3, 2, 1, samples=700)])
    soundfile.write(tmp_path / "levels.wav", audio, 16_000, "FLOAT")
    command = [COMMAND, "transcribe", "--format", "json", "--model", model, tmp_path / "levels.wav"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    with serving(tmp_path / "web") as site, loaded(browser, site) as page:
        hear(page, tmp_path / "levels.wav")
        check(page, json.loads(output))
        assert len(symbols(page)) > 5


@pytest.mark.parametrize("rows_per_frame", [1, 2])
def test_rows_are_decoded_as_in_python(tools: Page, rows_per_frame: int) -> None:
    random = np.random.default_rng(rows_per_frame)
    for blank in (0, 2, 5):
        meta = toy_metadata(
            rows_per_frame=rows_per_frame, blank=blank, temperature=1.7, time_offset_seconds=0.05
        )
        # Few values, so that runs are long and ties frequent.
        rows = random.integers(-3, 0, (200, 6)).astype(np.float32).repeat(random.integers(1, 4, 200), axis=0)
        cuts = sorted(random.integers(0, len(rows), 20).tolist())
        fields = {
            key: getattr(meta, key) for key in meta.__dataclass_fields__ if key not in ("states", "silence")
        }
        seen = tools.evaluate(
            """async ([metadata, parts]) => {
                const { Decoder } = await import("/decode.js");
                const decoder = new Decoder(metadata);
                const phones = parts.flatMap((rows) => decoder.decode(Float32Array.from(rows.flat())));
                return [...phones, ...decoder.finish(decoder.tiling.seconds(decoder.row))];
            }""",
            [fields, [part.tolist() for part in np.split(rows, cuts)]],
        )
        decoder: Decoder = meta.decoder
        phones, state = decoder.decode(DecoderState(), rows)
        phones += decoder.finish(state)
        assert [phone["symbol"] for phone in seen] == [phone.symbol for phone in phones]
        assert [(phone["start"], phone["end"], phone["peak"]) for phone in seen] == [
            (phone.start, phone.end, phone.peak) for phone in phones
        ]
        np.testing.assert_allclose(
            [phone["confidence"] for phone in seen], [phone.confidence for phone in phones], rtol=1e-12
        )


@pytest.fixture(scope="module")
def shipped_rows(recordings: list[Path]) -> list[AnyArray]:
    """What the bundled model gives for each shipped recording."""
    recognizer = Recognizer()
    read = (soundfile.read(path, dtype="float32") for path in recordings)
    return [recognizer.log_probs(samples, rate) for samples, rate in read]


SEARCH = """async ([metadata, settings, parts]) => {
    const { BeamDecoder } = await import("/beam.js");
    const { readPhoneLM } = await import("/phone_lm.js");
    self.lm ??= await readPhoneLM(await (await fetch("/phones.lm")).arrayBuffer());
    const decoder = new BeamDecoder(metadata, settings, self.lm);
    const [phones, guesses] = [[], []];
    for (const rows of parts) {
        phones.push(...decoder.decode(Float32Array.from(rows.flat())));
        guesses.push(decoder.tentative().map(({ symbol, start, end }) => [symbol, start, end]));
    }
    return [[...phones, ...decoder.finish(decoder.tiling.seconds(decoder.row))], guesses];
}"""


@pytest.mark.parametrize(
    "settings", [BeamSearch(), BeamSearch(size=8, delay_seconds=0.2)], ids=["default", "8"]
)
def test_rows_are_searched_as_in_python(
    tools: Page, shipped_rows: list[AnyArray], settings: BeamSearch
) -> None:
    metadata = Recognizer().metadata
    fields = {key: json.loads(value) for key, value in metadata.to_map().items()}
    decoder = BeamDecoder(metadata.decoder, settings)
    for rows in shipped_rows:
        parts = np.array_split(rows, 9)
        seen, guesses = tools.evaluate(
            SEARCH, [fields, decoder.parameters(), [part.tolist() for part in parts]]
        )
        state, phones = decoder.initial(), []
        for part, guess in zip(parts, guesses, strict=True):
            found, state = decoder.decode(state, part)
            phones += found
            assert guess == [[*phone[:3]] for phone in decoder.tentative(state)]
        phones += decoder.finish(state)[0]
        names = ("symbol", "start", "end", "word_start", "peak")
        assert [[phone[name] for name in names] for phone in seen] == [
            [getattr(phone, name) for name in names] for phone in phones
        ]
        np.testing.assert_allclose(
            [phone["confidence"] for phone in seen], [phone.confidence for phone in phones], atol=2e-5
        )


SPOT = """async ([metadata, phrases, parts, others = [], threshold = 0]) => {
    const { Decoder } = await import("/decode.js");
    const { readPhoneLM } = await import("/phone_lm.js");
    const { parseKeywords, readDictionary } = await import("/keywords.js");
    const { Spotter } = await import("/spotter.js");
    const load = async (file) => (await fetch(file)).arrayBuffer();
    self.lm ??= await readPhoneLM(await load("/phones.lm"));
    self.dictionary ??= await readDictionary(await load("/dictionary.deflate"));
    const { settings } = (await (await fetch("/model.json")).json()).spotting;
    const parsedAs = (some) => parseKeywords(some, threshold, self.dictionary, metadata.phones, settings);
    const keywords = parsedAs(phrases);
    const open = (some) => new Spotter(new Decoder(metadata), settings, self.lm, some);
    const spotted = parts.map((rows) => {
        let spotter = open(keywords);
        const events = rows.flatMap((row, place) => {
            if (others.length && place === rows.length >> 1) spotter = open(parsedAs(others)).begin(spotter, place);
            return spotter.decode(Float32Array.from(row));
        });
        return [...events, ...spotter.finish()];
    });
    const parsed = ({ phrase, variants }) => [phrase, variants.map(({ phones, starts }) => [phones, starts])];
    return [keywords.map(parsed), spotted];
}"""


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_keywords_are_spotted_as_in_python(
    tools: Page, shipped_rows: list[AnyArray], threshold: float
) -> None:
    phrases = [
        "Blue silk",
        "gold buckles",
        "either of the two",
        "naïve",
        "quinoa /K IY N W AA1/ /K W IH|N OW AH/",
    ]
    phrases += ["/M IH S IH Z/", "don't", "on the", "an", "saturday", "among", "then, dear", "and"]
    keywords = Keywords(phrases, threshold=threshold)
    metadata = Recognizer().metadata
    fields = {key: json.loads(value) for key, value in metadata.to_map().items()}
    others = [*reversed(phrases[:-2]), "the", "an eye"]  # in the second half of the rows
    parsed, spotted = tools.evaluate(
        SPOT, [fields, phrases, [rows.tolist() for rows in shipped_rows], others, threshold]
    )
    assert parsed == [
        [word.phrase, [[list(said.phones), list(said.starts)] for said in word.variants]] for word in keywords
    ]
    lm = boundary_model(metadata.phones)
    spotter = Spotter(metadata.decoder, keywords, lm)
    other = Spotter(metadata.decoder, Keywords(others, threshold=threshold), lm)
    told = np.zeros(2, np.int64)  # in the first halves, and in the second
    for rows, seen in zip(shipped_rows, spotted, strict=True):
        half = len(rows) // 2
        before, spotting = Spotting(spotter, spotter.initial()).decode(rows[:half])
        changed = change(spotting, other, half)
        assert changed is not None
        after, spotting = changed.decode(rows[half:])
        expected = [one.event for one in [*before, *after]] + spotting.finish()
        told += np.array([len(before), len(after)])
        names = ("phrase", "start", "end", "word_boundary")
        assert [[one[name] for name in names] for one in seen] == [
            [getattr(one, name) for name in names] for one in expected
        ]
        np.testing.assert_allclose([one["score"] for one in seen], [one.score for one in expected], rtol=1e-9)
    assert told.all()


def test_keywords_that_are_none_are_told(tools: Page) -> None:
    metadata = {key: json.loads(value) for key, value in toy_metadata(phones=PHONES).to_map().items()}
    for phrases, says in (
        (["…"], "has no letters"),
        (["привет"], "which this page cannot say"),
        (["a"], "too short"),
        (["lamp", "lamp"], "twice"),
        (["/K AE"], "without its fellow"),
        (["/K XX T/"], "has the phone XX"),
        (["lamp"] * 101, "101 keywords"),
        (["word " * 50], "characters"),
    ):
        with pytest.raises(Error, match=says):
            tools.evaluate(SPOT, [metadata, phrases, []])


def test_a_greedy_page_has_a_language_model_for_keywords_alone(tmp_path: Path) -> None:
    export_page("tiny", tmp_path, decoder="greedy")
    description = json.loads((tmp_path / "model.json").read_text())
    assert description["spotting"]["lm"]["url"].startswith("phones.lm?")
    assert "search" not in description


def test_silence_leaves_as_little_in_the_page_as_in_python(browser: Browser, tmp_path: Path) -> None:
    model = toy_model(tmp_path / "toy.onnx", silence=summing(), temperature=9.0, rows_per_frame=2)
    export_page(model, tmp_path / "web")
    quiet = [[0] * frames for frames in (31, 4, 11, 7, 120, 5)]
    columns = [
        column
        for frames, spoken in zip(quiet, ([1, 2], [3], [4], [1, 3], [2], [5]), strict=True)
        for column in frames + spoken
    ]
    soundfile.write(tmp_path / "levels.wav", levels(*columns), 16_000, "FLOAT")
    command = [COMMAND, "transcribe", "--format", "json", "--model", model, tmp_path / "levels.wav"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    with serving(tmp_path / "web") as site, loaded(browser, site) as page:
        hear(page, tmp_path / "levels.wav")
        check(page, json.loads(output))


@pytest.mark.parametrize("rule", [summing(), summing(interval_frames=3, after_frames=0), None], ids=str)
def test_the_rule_on_silence_is_pythons(tools: Page, rule: SilenceRule | None) -> None:
    random = np.random.default_rng(1)
    blanks = (random.random(400) < 0.5).repeat(random.integers(1, 12, 400)).tolist()[:1200]
    limits = random.integers(1, 40, 2000).tolist()
    seen = tools.evaluate(
        """async ([rule, blanks, limits]) => {
            const { Silence } = await import("/silence.js");
            const steps = [];
            let [state, frame] = [{ s0: 0 }, 0];
            let silence = new Silence(rule).remember(frame, state);
            for (const limit of limits) {
                const most = silence.most(frame, Math.min(limit, blanks.length - frame));
                const valid = silence.valid(frame, blanks.slice(frame, frame + most));
                const after = silence.after(frame, blanks.slice(frame, frame + valid));
                frame += valid;
                state = { s0: frame, ...after.sums };
                silence = after.silence.remember(frame, state);
                steps.push([most, valid, silence.quiet, silence.sums, state.s0]);
            }
            return steps;
        }""",
        [asdict(rule) if rule else None, blanks, limits],
    )
    expected = []
    state, frame = {"s0": np.zeros((1, 1), np.float32)}, 0  # a stream's number of frames stands for its sums
    now = remember(rule, Silence(), frame, state)
    for limit in limits:
        most = min(limit, len(blanks) - frame)
        if may_be_silent(rule, now.quiet, frame):
            most = frames_to_border(rule, frame, most)
        valid = valid_frames(rule, now.quiet, frame, blanks[frame : frame + most])
        now, sums = after_call(rule, now, frame, blanks[frame : frame + valid])
        frame += valid
        state = put_back(rule, {"s0": np.full((1, 1), frame, np.float32)}, sums or {})
        now = remember(rule, now, frame, state)
        kept = None if now.sums is None else {"s0": now.sums["s0"].item()}
        expected.append([most, valid, now.quiet, kept, state["s0"].item()])
    assert seen == expected
    assert frame == len(blanks)


@pytest.mark.parametrize("heads", [0, 1, 2])
def test_sums_are_put_back_as_in_python(tools: Page, heads: int) -> None:
    rule = SilenceRule(("s0", "z0"), fading_heads=heads)
    random = np.random.default_rng(heads)
    sides = [
        {
            "s0": random.integers(0, 99, (1, 3, 2, 2)),
            "z0": random.integers(0, 99, (1, 3, 2)),
            "tail": np.ones((1, 4)),
        }
        for _ in range(2)
    ]
    before, after = [{name: value.astype(np.float32) for name, value in side.items()} for side in sides]
    plain = [
        {name: [value.ravel().tolist(), list(value.shape)] for name, value in side.items()}
        for side in (before, after)
    ]
    seen = tools.evaluate(
        """async ([rule, before, after]) => {
            const { Silence } = await import("/silence.js");
            class Tensor {
                constructor(type, data, dims) { Object.assign(this, { type, data, dims }); }
            }
            const state = (plain) => Object.fromEntries(Object.entries(plain).map(
                ([name, [data, dims]]) => [name, new Tensor("float32", Float32Array.from(data), dims)]));
            const silence = new Silence(rule, 99).remember(0, state(before));
            const found = silence.putBack(state(after), silence.sums);
            return Object.fromEntries(Object.entries(found).map(
                ([name, { data, dims }]) => [name, [Array.from(data), dims]]));
        }""",
        [asdict(rule), *plain],
    )
    sums = remember(rule, Silence(99), 0, before).sums
    assert sums is not None
    expected = put_back(rule, after, sums)
    assert seen == {name: [value.ravel().tolist(), list(value.shape)] for name, value in expected.items()}
    assert (expected["z0"][:, :heads] == after["z0"][:, :heads]).all()
    assert (expected["s0"][:, heads:] == before["s0"][:, heads:]).all()


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 44_099, 48_000, 96_000])
def test_audio_is_resampled_as_in_python(tools: Page, rate: int) -> None:
    samples = np.random.default_rng(rate).uniform(-1, 1, rate // 8).astype(np.float32)
    cuts = [0, 1, 2, 700, 701]
    seen = tools.evaluate(
        """async ([rate, parts]) => {
            const { Resampler } = await import("/resample.js");
            const resampler = new Resampler(rate, 16000);
            const found = parts.flatMap((part) => [...resampler.push(Float32Array.from(part))]);
            return [...found, ...resampler.flush()];
        }""",
        [rate, [part.tolist() for part in np.split(samples, cuts)]],
    )
    expected, state = resample.resample(resample.start(rate, 16_000), samples)
    np.testing.assert_allclose(seen, np.concatenate([expected, resample.flush(state)]), atol=2e-6)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav_is_read_as_the_command_line_reads_it(tools: Page, subtype: str, channels: int) -> None:
    samples = np.random.default_rng(channels).uniform(-1, 1, (500, channels)).astype(np.float32)
    for kind in ("WAV", "WAVEX"):
        file = io.BytesIO()
        soundfile.write(file, samples, 11_025, subtype, format=kind)
        file.seek(0)
        expected = soundfile.read(file, dtype="float32", always_2d=True)[0].mean(axis=1, dtype=np.float32)
        seen, rate = tools.evaluate(
            """async (content) => {
                const { decodeFile } = await import("/audio.js");
                const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
                const { samples, rate } = await decodeFile(new File([bytes], "speech.wav"));
                return [[...samples], rate];
            }""",
            base64.b64encode(file.getvalue()).decode(),
        )
        assert rate == 11_025
        np.testing.assert_allclose(seen, expected, atol=0 if channels < 3 else 1e-7)


def _wav(data: bytes, *, size: int | None = None, behind: bytes = b"", channels: int = 1) -> bytes:
    """16-bit samples at 8 kHz in a WAV whose header says that they take `size` bytes."""
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, 8000, 16_000 * channels, 2 * channels, 16)
    stated = len(data) if size is None else size
    body = b"WAVE" + layout + b"data" + struct.pack("<I", stated) + data + behind
    return b"RIFF" + struct.pack("<I", min(len(body), 0xFFFFFFFF)) + body


def test_headers_of_wav_are_judged_as_on_the_command_line(tools: Page, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, 4000).astype("<i2")
    data, swapped = noise.tobytes(), np.stack([noise, -noise], axis=1).tobytes()
    files = {
        "whole": _wav(data),
        **{f"{size:x}": _wav(data, size=size) for size in (0x7FFFEFFF, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF)},
        "grown": _wav(data, size=1000),
        "odd": _wav(data, size=1001),
        "interrupted": _wav(data, size=0),
        "empty": _wav(b""),
        "cut": _wav(data, size=9000),
        "again": _wav(data, behind=b"data" + struct.pack("<I", 4) + bytes(4)),
        "chunk": _wav(data, behind=b"LIST" + struct.pack("<I", 4) + b"INFO"),
        "chunk behind an odd end": _wav(data[:-1], behind=b"\0LIST" + struct.pack("<I", 4) + b"INFO"),
        "chunk that is none": _wav(data, behind=b"LIST" + struct.pack("<I", 4000) + b"INFO"),
        "tag": _wav(data, behind=b"TAG" + bytes(125)),
        "zeros": _wav(data, behind=bytes(100)),
        "swapped": _wav(swapped, channels=2),
    }  # fmt: skip
    expected: dict[str, Any] = {}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        try:
            audio = Mixed(open_audio(tmp_path / name), "open a file of one of them alone")
            samples = np.concatenate([mono(block) for block in audio.blocks()])
            expected[name] = [len(samples), float(np.abs(samples).max()), list(audio.remarks)]
        except AudioError as error:
            expected[name] = re.split(r"[;,] |: try", str(error).replace(f"{tmp_path}/", ""))[0]
    seen = tools.evaluate(
        """async (files) => {
            const { decodeFile } = await import("/audio.js");
            const judge = async ([name, content]) => {
                const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
                try {
                    const { samples, remarks } = await decodeFile(new File([bytes], name));
                    return [name, [samples.length, Math.max(...samples.map(Math.abs)), remarks]];
                } catch (error) {
                    return [name, error.message.split(/[;,] |: try/)[0]];
                }
            };
            return Object.fromEntries(await Promise.all(Object.entries(files).map(judge)));
        }""",
        {name: base64.b64encode(content).decode() for name, content in files.items()},
    )
    assert seen == expected
    assert [name for name, found in seen.items() if isinstance(found, str)] == [
        "7fffefff", "empty", "cut", "again",
    ]  # fmt: skip


def test_the_runtime_is_the_published_one(folder: Path) -> None:
    assert {file.name for file in VENDORED.iterdir()} == NPM.keys()
    for exported, origin in RUNTIME.items():
        content = (folder / exported).read_bytes()
        assert hashlib.sha256(content).hexdigest() == NPM[origin], exported


def test_the_page_names_no_other_host(folder: Path) -> None:
    for file in folder.iterdir():
        if file.suffix in (".html", ".js", ".css", ".json"):
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"(?:https?:)?//\w+\.\w+|@import|eval\(", text), file.name


def test_the_credits_come_with_the_page(folder: Path) -> None:
    licences = (folder / "licences.txt").read_text(encoding="utf-8")
    for credit in ("LibriSpeech", "CC BY 4.0", "Microsoft Corporation", "Apache License"):
        assert credit in licences
    assert "licences.txt" in (folder / "index.html").read_text(encoding="utf-8")


def test_an_export_replaces_its_own_page_and_nothing_else(tmp_path: Path) -> None:
    model = toy_model(tmp_path / "toy.onnx")
    page = export_page(model, tmp_path / "web")
    assert page.files == sum(file.is_file() for file in page.folder.rglob("*"))
    (page.folder / "CNAME").write_text("speech.example.org")
    (page.folder / "page.js").write_text("old")
    export_page(model, page.folder)
    assert (page.folder / "CNAME").exists()
    assert (page.folder / "page.js").read_text(encoding="utf-8") != "old"


@pytest.mark.parametrize("limit", [0, 10_000, 2_000_000, 10_000_000])
def test_a_full_disk_leaves_no_page_or_the_one_from_before(limit: int, tmp_path: Path) -> None:
    before = export_page(toy_model(tmp_path / "toy.onnx"), tmp_path / "old").folder
    (before / "page.js").write_text("old")
    old = contents(before)
    for folder in (before, tmp_path / "new" / "page"):
        told = f"^{re.escape(str(folder))}: the page could not be written: File too large; choose a folder"
        with files_of_at_most(limit), pytest.raises(ConfigError, match=told):
            export_page("default", folder)
    assert contents(before) == old
    assert not (tmp_path / "new").exists()


def test_it_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules.update(torch=None, onnx=None, lhotse=None); "
        f"from phonestream.cli import main; main(['export', '--web', {str(tmp_path / 'web')!r}])"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "web" / "index.html").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["run", "--web", "page"], 2, "RUN: is about a run"),
        (["--web", "page", "--int8"], 2, "--int8: is about a run"),
        (["--web", "page", "--output", "model.onnx"], 2, "--output: is about a run"),
        (["--web", "page", "--time-offset", "0"], 2, "--time-offset: is about a run"),
        (["run", "--output", "model.onnx", "--model", "default"], 2, "--model: is about a page"),
        (["run", "--output", "model.onnx", "--decoder", "greedy"], 2, "--decoder: is about a page"),
        (["--web", "page", "--model", "nosuch"], 1, "nosuch: no such model file"),
        (["--web", ""], 2, "--web: is empty; give DIR"),
        (["--web", "taken"], 1, "taken: holds something else (index.html); choose another folder"),
        (["--web", "file"], 1, "file: is a file; give the name of a folder"),
        (["--web", "file/page"], 1, "could not be written: Not a directory; choose a folder"),
    ],
)
def test_what_cannot_be_done_is_refused(
    arguments: list[str],
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "index.html").write_text("<h1>Mine</h1>")
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as leaving:
        main(["export", *arguments])
    assert leaving.value.code == status
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "page").exists()
