"""Commands on the static page, in Debian's Chromium: what Python tells of the same rows."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unicodedata import category

import numpy as np
import pytest
import soundfile
from browser import PATIENCE, hear
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Error, Page, expect
from static_site import Site, as_wav, loaded, serving

from phonestream import CommandResult, Commands, DataError, Endpoint, EndpointConfig, EndpointRule, Recognizer
from phonestream.streaming.arrays import FloatArray
from phonestream.streaming.decode import Phone
from phonestream.streaming.decoding.config import BeamSearch
from phonestream.streaming.decoding.decoder import BeamDecoder
from phonestream.streaming.decoding.stream_search import Search
from phonestream.streaming.endpoint import EndpointState, detect
from phonestream.streaming.row_events import Rows, decode_rows
from phonestream.streaming.spotting.change import change_commands
from phonestream.streaming.spotting.command_state import Commanding
from phonestream.streaming.spotting.commands import CommandRecognizer
from phonestream.streaming.spotting.jsgf import read_phrase
from phonestream.streaming.stream_state import Endpointing, StreamState
from phonestream.streaming.web.static import export_page

SPOKEN = "he wore blue silk stockings blue (knee pants | sea plants)"  # what the microphone plays, and something else
LISTS = [
    [
        SPOKEN,
        "saturday [august fifteenth] (the sea unbroken all round no land | in the morning)",
        "we want you to help us /W IY|W AA N T|Y UW|T UW|HH EH L P|AH S/ /W IY W AA N T Y UW T AH HH EH L P AH S/",
        "lumos /L UW M OW1 S/",
        "also",
    ],
    [
        "the utility of consumption [as an evidence of wealth] is to be classed",
        "also a popular contrivance (whereby | where) love making may be suspended but not stopped "
        "during the picnic season",
        '"then dear" ((said | says) missus whitney | <NULL> <VOID>) | stop {halt}',
    ],
]  # fmt: skip
SILENT = 60  # rows


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = export_page("default", tmp_path_factory.mktemp("web")).folder
    with serving(folder) as site:
        yield site


@pytest.fixture(scope="module")
def tools(browser: Browser, site: Site) -> Iterator[Page]:
    """A document beside the page, in which the page's modules can be called."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{site.url}model.json")
        yield page


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer()


@pytest.fixture(scope="module")
def rows(recognizer: Recognizer, recordings: list[Path]) -> FloatArray:
    """What the bundled model gives for the shipped recordings, with silence behind each but the last."""
    ready = CommandRecognizer(recognizer.metadata.decoder, Commands(["stop"]))
    heard = [recognizer.log_probs(*soundfile.read(path, dtype="float32")) for path in recordings]
    silence = np.tile(ready.silence, (SILENT, 1))
    return np.concatenate([part for each in heard for part in (each, silence)][:-1])


STREAM = """async ([metadata, search, lists, threshold, rules, parts]) => {
    const { BeamDecoder } = await import("/beam.js");
    const { CommandRecognizer, parseCommands } = await import("/commands.js");
    const { Decoder } = await import("/decode.js");
    const { readDictionary } = await import("/keywords.js");
    const { readPhoneLM } = await import("/phone_lm.js");
    const { Model, Stream } = await import("/recognizer.js");
    const load = async (file) => (await fetch(file)).arrayBuffer();
    self.lm ??= await readPhoneLM(await load("/phones.lm"));
    self.dictionary ??= await readDictionary(await load("/dictionary.deflate"));
    const { settings } = (await (await fetch("/model.json")).json()).spotting;
    const newDecoder = () => (search ? new BeamDecoder(metadata, search, self.lm) : new Decoder(metadata));
    const recognizers = lists.map((phrases) => {
        const commands = parseCommands(phrases, self.dictionary, metadata.phones, settings);
        return new CommandRecognizer(newDecoder(), settings.commands, commands, threshold);
    });
    class Tensor {}
    const model = new Model(null, Tensor, metadata, newDecoder);
    const stream = new Stream(model, 16000, undefined, recognizers[0], rules ?? settings.endpoint_rules);
    const events = parts.flatMap((rows, place) => {
        if (place === parts.length >> 1) stream.setCommands(recognizers[1]);
        return stream.decode(Float32Array.from(rows.flat()));
    });
    const seconds = stream.decoder.tiling.seconds(stream.rows);
    events.push(...stream.decoder.finish(seconds), ...stream.commanding.finish(stream.rows));
    const parsed = ({ phrase, variants }) => [phrase, variants.map(({ phones, starts }) => [phones, starts])];
    return [recognizers.map(({ commands }) => commands.map(parsed)), events];
}"""


LENGTH = EndpointConfig((EndpointRule("pause", trailing_silence=0.3), EndpointRule("length", utterance=1.5)))


@pytest.mark.parametrize(
    ("threshold", "config"), [(0.0, None), (0.5, None), (0.0, LENGTH)], ids=["all", "usual", "within speech"]
)
@pytest.mark.parametrize("search", [None, BeamSearch()], ids=["greedy", "beam"])
def test_a_stream_tells_commands_as_in_python(
    tools: Page,
    recognizer: Recognizer,
    rows: FloatArray,
    search: BeamSearch | None,
    threshold: float,
    config: EndpointConfig | None,
) -> None:
    """Rows of real recordings to endpoints, phones and commands; others take their place in the middle."""
    meta = recognizer.metadata
    fields = {key: json.loads(value) for key, value in meta.to_map().items()}
    beam = None if search is None else BeamDecoder(meta.decoder, search)
    parts = np.array_split(rows, 9)
    plain = [part.tolist() for part in parts]
    rules = config and [asdict(rule) for rule in config.rules]
    parsed, seen = tools.evaluate(
        STREAM, [fields, beam and beam.parameters(), LISTS, threshold, rules, plain]
    )
    lists = [Commands(phrases, threshold=threshold) for phrases in LISTS]
    assert parsed == [
        [[word.phrase, [[list(said.phones), list(said.starts)] for said in word.variants]] for word in words]
        for words in lists
    ]

    first, second = (CommandRecognizer(meta.decoder, words) for words in lists)
    state = StreamState(
        {},
        np.empty(0, np.float32),
        endpoints=Endpointing(config or EndpointConfig()),
        search=None if beam is None else Search(beam, beam.initial()),
        commands=Commanding(first),
    )
    expected: list[Any] = []
    for place, part in enumerate(parts):
        if place == len(parts) // 2:
            state = replace(state, commands=change_commands(state.commands, second, state.decoder.row))
        events, state = decode_rows(meta, state, Rows(state.decoder.row, *meta.decoder.best(part), part))
        expected += events
    end = meta.decoder.seconds(state.decoder.row)
    expected += state.search.finish(end)[0] if state.search else meta.decoder.finish(state.decoder, end)
    assert state.commands is not None
    expected += state.commands.finish()

    kinds: dict[type, tuple[str | None, tuple[str, ...]]] = {
        Phone: (None, ("symbol", "start", "end", "peak")),
        Endpoint: ("endpoint", ("time", "start", "silence", "rule")),
        CommandResult: ("command", ("command", "best", "second", "start", "end")),
    }
    assert [event.get("event") for event in seen] == [kinds[type(event)][0] for event in expected]
    for one, other in zip(seen, expected, strict=True):
        names = kinds[type(other)][1]
        assert [one[name] for name in names] == [getattr(other, name) for name in names]
    told = [event for event in expected if isinstance(event, CommandResult)]
    scores = [one["score"] for one in seen if one.get("event") == "command"]
    np.testing.assert_allclose(scores, [one.score for one in told], rtol=1e-9)
    assert len(told) > 6
    assert {one.rejected for one in told} == ({False} if threshold == 0 else {False, True})


RECOGNIZE = """async ([metadata, phrases, clips]) => {
    const { CommandRecognizer, parseCommands } = await import("/commands.js");
    const { Decoder } = await import("/decode.js");
    const { readDictionary } = await import("/keywords.js");
    self.dictionary ??= await readDictionary(await (await fetch("/dictionary.deflate")).arrayBuffer());
    const { settings } = (await (await fetch("/model.json")).json()).spotting;
    const commands = parseCommands(phrases, self.dictionary, metadata.phones, settings);
    const recognizer = new CommandRecognizer(new Decoder(metadata), settings.commands, commands);
    return clips.map((rows) => recognizer.recognize(rows.map((row) => Float32Array.from(row)), 7));
}"""


def test_commands_that_are_common_words_are_told_as_in_python(
    tools: Page, recognizer: Recognizer, rows: FloatArray
) -> None:
    """On pieces of recordings: a command does not stand against itself."""
    meta = recognizer.metadata
    fields = {key: json.loads(value) for key, value in meta.to_map().items()}
    phrases = ["also", "then", "dear", "blue", "we want", "saturday"]
    clips = [rows[begin : begin + 45] for begin in range(0, len(rows) - 45, 45)]
    seen = tools.evaluate(RECOGNIZE, [fields, phrases, [clip.tolist() for clip in clips]])
    ready = CommandRecognizer(meta.decoder, Commands(phrases))
    expected = [ready.recognize(clip, first_row=7) for clip in clips]
    for one, other in zip(seen, expected, strict=True):
        assert one.pop("score") == pytest.approx(other.score, rel=1e-9)
        known = {name: value for name, value in other._asdict().items() if name != "score"}
        assert one == {"event": "command", **known}
    assert {one.rejected for one in expected} == {False, True}


RULES = st.lists(
    st.tuples(*3 * [st.integers(0, 12).map(lambda rows: rows * 0.02)]).filter(any), min_size=1, max_size=4
).map(lambda seconds: [EndpointRule(f"rule {number}", *each) for number, each in enumerate(seconds)])


@settings(deadline=None, max_examples=40)
@given(RULES, st.lists(st.tuples(st.sampled_from([0, 0, 1, 2]), st.integers(1, 9)), min_size=1, max_size=30))
def test_endpoints_are_pythons(tools: Page, rules: list[EndpointRule], runs: list[tuple[int, int]]) -> None:
    labels = [label for label, count in runs for _ in range(count)]
    seen = tools.evaluate(
        """async ([rules, labels]) => {
            const { Endpoints } = await import("/endpoint.js");
            const endpoints = new Endpoints(rules, 0, 0.02);
            const found = labels.map((label, row) => ({ seen: row + 1, ...endpoints.decode(label) }));
            const ended = found.filter(({ rule }) => rule);
            return ended.map((one) => [one.seen, one.time, one.start, one.silence, one.rule]);
        }""",
        [[asdict(rule) for rule in rules], labels],
    )
    endings, _ = detect(EndpointConfig(tuple(rules)), EndpointState(), 0, labels, 0, 0.02)
    assert seen == [[*ending[:4], rules[ending.rule].name] for ending in endings]


READ = """async (phrases) => {
    const { readPhrase } = await import("/grammar.js");
    const { settings } = (await (await fetch("/model.json")).json()).spotting;
    return phrases.map((phrase) => {
        try {
            return readPhrase(phrase, (why) => new Error(why), settings.commands);
        } catch (error) {
            return error.message;
        }
    });
}"""


def read(phrase: str) -> list[str] | str:
    """The sentences, or what is wrong."""
    try:
        return read_phrase(phrase, "here")
    except DataError as error:
        return str(error)


def test_slots_stand_for_the_sentences_that_they_stand_for_in_python(tools: Page) -> None:
    random = np.random.default_rng(0)
    pieces = [
        *"()[]||",
        *"aeiou*; ",
        "the",
        "/2/",
        "/K AE T/",
        '"so so"',
        "<NULL>",
        "<VOID>",
        "<x>",
        "{tag}",
        "💡",
    ]
    phrases = [" ".join(random.choice(pieces, random.integers(1, 9))) for _ in range(3000)]
    phrases += [
        "turn [the] (kitchen | bath room) light (on | off)",
        "(a | b) " * 40,
        "(" * 60 + "go",
        "( go " * 51 + ")" * 51,
        "word " * 51 + "[a]",
        *(
            "go (on",
            "go [on)",
            "(go)+",
            "go \\ (on)",
            "(<VOID>)",
            "[on]",
            "a (constructor",
            "lamp /L AE/ (on | off)",
        ),
    ]
    expected, found = [*map(read, phrases)], tools.evaluate(READ, phrases)
    for phrase, one, other in zip(phrases, expected, found, strict=True):
        if isinstance(one, list):
            assert other == one, phrase
            continue
        assert isinstance(other, str), phrase
        if "there is no rule" not in one + other:  # Python looks for rules when the whole is read
            columns = [re.findall(r"column \d+", message) for message in (one, other)]
            assert columns[0] == columns[1], (phrase, one, other)
    assert 300 < sum(isinstance(one, str) for one in expected) < len(phrases) - 300


def test_characters_that_are_not_seen_are_those_of_python(tools: Page) -> None:
    seen = tools.evaluate(
        """async () => {
            const { checkSeen } = await import("/keywords.js");
            const found = [];
            for (let code = 0; code < 0x10000; code++) {
                try {
                    checkSeen(`lamp${String.fromCharCode(code)}on`, "keyword");
                } catch {
                    found.push(code);
                }
            }
            return found;
        }"""
    )
    assert seen == [
        code for code in range(0x10000) if category(chr(code)) in ("Cc", "Cf", "Cs") and chr(code) not in "\t\n\r"
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"U\+200B in it, which is not seen: type it anew"):
        Commands(["la\u200bmp on"])


PARSE = """async ([kind, phrases]) => {
    const { parseCommands } = await import("/commands.js");
    const { parseKeywords, readDictionary } = await import("/keywords.js");
    self.dictionary ??= await readDictionary(await (await fetch("/dictionary.deflate")).arrayBuffer());
    const { metadata, spotting } = await (await fetch("/model.json")).json();
    const { settings } = spotting;
    const parsed = kind === "command"
        ? parseCommands(phrases, self.dictionary, metadata.phones, settings)
        : parseKeywords(phrases, 0.5, self.dictionary, metadata.phones, settings);
    return parsed.map(({ variants }) => variants.map(({ phones }) => phones.join(" ")));
}"""


@pytest.mark.parametrize(
    ("phrases", "says"),
    [
        (["la\u200bmp [on]"], "“la\u200bmp \\[on\\]” has the character U\\+200B in it, which is not seen: type"),
        (["lamp on\u0007"], r"has the character U\+0007"),
        (["…"], "has no letters"),
        (["lamp (он | off)"], "“lamp он” has the word “он”, which this page cannot say: give its phones"),
        (["turn (on"], "“turn \\(on” cannot be read: column 9: expected “\\)”, found the end"),
        (["turn on <again> (now)"], "column 9: there is no rule <again>: check its spelling"),
        (["lamp (on | on | off)", "lamp off"], "“lamp off” is given twice"),
        (["(a | b | c) " * 9], "stands for 19,683 sentences, at most 2,000 can be had: split it"),
        (["(a | b | c) " * 6 + end for end in ("on", "off", "stop")], "2187 commands are given, 2000 can be had"),
        (["/K XX T/"], "has the phone XX"),
        (["a"], "too short"),
    ],
)  # fmt: skip
def test_commands_that_are_none_are_told_in_a_line(tools: Page, phrases: list[str], says: str) -> None:
    with pytest.raises(Error, match=says) as caught:
        tools.evaluate(PARSE, ["command", phrases])
    assert "The command" in str(caught.value) or "commands are given" in str(caught.value)


@pytest.mark.parametrize("kind", ["keyword", "command"])
def test_phrases_are_said_as_in_python(tools: Page, kind: str) -> None:
    phrases = ["salt & pepper", "naïve", "don't", "blue-green", "lamp on"]
    seen = tools.evaluate(PARSE, [kind, phrases])
    assert seen == [[" ".join(said.phones) for said in word.variants] for word in Commands(phrases)]
    for hidden in ("la\u200bmp", "lamp\u202eon"):
        with pytest.raises(Error, match=f"The {kind} .* which is not seen: type it anew"):
            tools.evaluate(PARSE, [kind, [hidden]])


def events(page: Page) -> list[str]:
    """What the page tells of commands and keywords, with scores."""
    return page.locator("#spotted li").evaluate_all(
        "items => items.map(item => [...item.children].slice(1).map(part => part.textContent).join(' '))"
    )


def test_a_command_in_a_file_is_told_with_its_score(
    browser: Browser, site: Site, recording: Path, tmp_path: Path
) -> None:
    """As by the stream of Python that hears the same, phones and endpoints included, with the network off."""
    samples, rate = soundfile.read(as_wav(recording, tmp_path), dtype="float32")
    spoken = np.concatenate([samples[: 3 * rate], np.zeros(2 * rate, np.float32), samples[3 * rate :]])
    soundfile.write(tmp_path / "spoken.wav", spoken, rate, "PCM_16")
    phrases = [SPOKEN, "lumos /L UW M OW S/"]
    with loaded(browser, site) as page:
        page.context.set_offline(True)
        page.fill("#commands", "\n".join(phrases))
        hear(page, tmp_path / "spoken.wav")
        stream = Recognizer().stream(commands=Commands(phrases), endpoints=True)
        heard = (
            stream.accept(soundfile.read(tmp_path / "spoken.wav", dtype="float32")[0], rate) + stream.finish()
        )
        first, second = [event for event in heard if isinstance(event, CommandResult)]
        assert first.command == "he wore blue silk stockings blue knee pants"
        assert second.rejected
        assert events(page) == [
            f"{first.command} {first.score:.2f}",
            f"none of the commands nearest: {second.best}, {second.score:.2f}",
        ]
        assert page.locator("#spotted time").all_text_contents() == [
            f"{one.start:.2f}" for one in (first, second)
        ]
        shown = page.eval_on_selector_all("[data-symbol]", "marks => marks.map(mark => mark.dataset.symbol)")
        assert shown == [event.symbol for event in heard if isinstance(event, Phone)]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than a phone"
        page.fill("#keywords", "stockings, blue silk, blue knee")
        hear(page, tmp_path / "spoken.wav")
        told = [event.rpartition(" ")[0] for event in events(page)]
        assert told[:4] == [first.command, "blue silk", "stockings", "blue knee"]
        times = [float(time) for time in page.locator("#spotted time").all_text_contents()]
        assert times == sorted(times)
        page.fill("#keywords", "")
        for phrases, says in (
            (
                ["turn (on", "stop"],
                "The command “turn (on” cannot be read: column 9: expected “)”, found the end.",
            ),
            (["la\u200bmp on"], "has the character U+200B in it, which is not seen: type it anew."),
        ):
            page.fill("#commands", "\n".join(phrases))
            hear(page, tmp_path / "spoken.wav")
            expect(page.get_by_role("alert")).to_contain_text(says)
            assert events(page) == []


def test_the_microphone_tells_commands_at_endpoints(browser: Browser, site: Site) -> None:
    with loaded(browser, site) as page:
        page.fill("#commands", "stop, lamp (on | off)")
        page.fill("#keywords", "blue silk")
        page.locator("#listen").press("Enter")
        page.fill("#commands", SPOKEN)
        page.locator("#commands").press("Enter")
        expect(page.locator("#spotted li")).to_have_count(2, timeout=PATIENCE)
        command, keyword = events(page)  # in order of time: the command began before the keyword in it
        assert keyword.startswith("blue silk 0.")
        assert re.fullmatch(r"he wore blue silk stockings blue knee pants (1\.00|0\.9\d)", command)
        for phrases, told in (("turn (on", re.compile("column 9")), ("stop", "")):
            page.fill("#commands", phrases)
            page.press("#commands", "Enter")
            expect(page.get_by_role("alert")).to_have_text(told, timeout=PATIENCE)
        page.locator("#listen").press("Enter")
        expect(page.locator("body[data-state=idle]")).to_be_attached(timeout=PATIENCE)
        page.fill("#commands", "")
        page.locator("#listen").press("Enter")
        expect(page.locator("#commands")).to_be_disabled(timeout=PATIENCE)  # its stream has no endpoints
        page.locator("#listen").press("Enter")
        expect(page.locator("#commands")).to_be_enabled(timeout=PATIENCE)
