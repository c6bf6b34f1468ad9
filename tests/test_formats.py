"""Every format as the readers of others read it, for whatever may be in a result."""

import csv
import io
import json
import os
import shlex
import warnings
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

import pytest
import webvtt
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lhotse import SupervisionSegment, SupervisionSet
from praatio import textgrid as praat
from pympi import Elan, TextGrid

from phonestream.asr.lexicon.phones import PHONES
from phonestream.errors import ConfigError
from phonestream.formats import subtitles
from phonestream.formats.document import Document, Interval, Word
from phonestream.formats.phone_sets import PHONE_SETS
from phonestream.formats.registry import FORMATS, Options, find, needs_intervals
from phonestream.formats.tiling import tile
from phonestream.formats.units import intervals, named, sounds
from phonestream.formats.visemes import to_visemes
from phonestream.streaming.decode import Phone
from phonestream.streaming.visemes import VISEMES

AWKWARD = os.fsdecode(b'a "b" & <c>\t;;\n' + b"\xff\xc3\xbc \\ '.wav")
IPA = Options("ipa")
NONE = Document("silence.wav", 1.2345, (), tile([], 1.2345))
EMPTY = Document("empty.wav", 0.0, ())
ONE = Document(AWKWARD, 0.3, (Phone("ER", 0.1, 0.14, 0.75),), tile([Phone("ER", 0.1, 0.14, 0.75)], 0.3))


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Results with phones, perhaps words, perhaps a channel."""
    phones, words, time = [], [], 0.0
    for _ in range(draw(st.integers(0, 12))):
        spoken = draw(st.lists(st.sampled_from(PHONES), min_size=1, max_size=4))
        time = begin = time + draw(st.sampled_from([0.0, 0.04, 0.4, 3661.0]))
        for symbol in spoken:
            phones.append(Phone(symbol, time, time + 0.04, draw(st.floats(0, 1))))
            time += 0.08
        text = draw(
            st.sampled_from(["don't", "'tis", "2nd", "ñandú", 'say"so"', "a&b", "<i>", "x", "y" * 50])
        )
        words.append(Word(text, begin, time, draw(st.floats(-9, 0)), draw(st.booleans())))
    seconds = time + draw(st.integers(48, 100_000)) / 48_000
    halves = (words[: len(words) // 2], words[len(words) // 2 :])
    lines = [
        Interval(" ".join(word.text for word in half), half[0].start, half[-1].end, 1.0)
        for half in halves
        if half
    ]
    return Document(
        draw(st.sampled_from(["speech.wav", "/data/a b.mp4", AWKWARD])),
        seconds,
        tuple(phones),
        tile(phones, seconds),
        tuple(words) if draw(st.booleans()) else (),
        tuple(lines) if draw(st.booleans()) else (),
        draw(st.sampled_from([None, 1, 2])),
    )


few = settings(max_examples=30, deadline=None)  # readers take their time

names = st.one_of(
    st.sampled_from([Options(name) for name in PHONE_SETS]),
    st.sampled_from([Options(visemes=name) for name in VISEMES]),
    st.just(Options(scores=True)),
)


def written(name: str, document: Document, options: Options, folder: Path) -> str:
    """Path of a file that holds the document."""
    path = folder / f"result.{FORMATS[name].extension}"
    path.write_bytes(FORMATS[name].write(document, options))
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


# All formats


@few
@given(documents(), names)
@example(NONE, Options())
@example(EMPTY, Options(visemes="oculus"))
@example(ONE, IPA)
def test_every_format_writes_every_result_as_utf8_and_alike_each_time(
    document: Document, options: Options
) -> None:
    for form in FORMATS.values():
        content = form.write(document, options)
        assert content == form.write(document, options)
        text = content.decode()
        assert not text or text.endswith("\n")
        assert "\r" not in text
        assert content.startswith(form.header)


def test_formats_are_known_by_the_names_that_they_have_and_no_others() -> None:
    assert " ".join(FORMATS) == "text json ctm textgrid eaf srt vtt audacity lab moho rhubarb csv"
    assert all(find(name).name == name for name in FORMATS)
    assert len({form.extension.lower() for form in FORMATS.values()}) == len(FORMATS)
    with pytest.raises(ConfigError, match=r"unknown format 'mlf': choose from text, json, .*csv$"):
        find("mlf")


def test_what_needs_no_intervals_is_written_without_them() -> None:
    spikes = Document("a.wav", 1.0, (Phone("AH", 0.1, 0.14, 0.9),))
    for form in FORMATS.values():
        if form.needs_intervals:
            with pytest.raises(ValueError, match=r"a\.wav: .* no intervals"):
                form.write(spikes, Options())
        else:
            assert b"AH" in form.write(spikes, Options())
    assert not needs_intervals([FORMATS["text"], FORMATS["json"]], Options())
    assert needs_intervals([FORMATS["text"], FORMATS["lab"]], Options())
    assert needs_intervals([FORMATS["text"]], Options(visemes="oculus"))


@pytest.mark.parametrize(
    "form", [form for form in FORMATS.values() if form.joins], ids=lambda form: form.name
)
def test_files_that_join_are_one_file_of_the_format(form) -> None:
    first, second = form.write(ONE, Options()), form.write(NONE, Options())
    assert first.startswith(form.header)
    assert second.startswith(form.header)
    if form.name == "csv":
        assert len(list(csv.reader(io.StringIO((first + second.removeprefix(form.header)).decode())))) == 2


# Each format


@few
@given(documents())
@example(ONE)
@example(EMPTY)
def test_json_lines(document: Document) -> None:
    line = FORMATS["json"].write(document, IPA).decode()
    assert line.isascii()
    assert line.count("\n") == 1
    entry = json.loads(line)
    assert entry["file"] == document.file
    assert entry["seconds"] == round(document.seconds, 3)
    assert ("channel" in entry, "words" in entry) == (document.channel is not None, bool(document.words))
    assert entry.get("channel") == document.channel
    assert [phone["symbol"] for phone in entry["phones"]] == [
        PHONE_SETS["ipa"][p.symbol] for p in document.phones
    ]
    assert [word["text"] for word in entry.get("words", [])] == [word.text for word in document.words]
    shapes = json.loads(FORMATS["json"].write(document, Options(visemes="oculus")))["visemes"]
    assert [shape["end"] for shape in shapes[:-1]] == [shape["start"] for shape in shapes[1:]]


def test_json_without_words_and_channels_is_what_it_always_was() -> None:
    document = Document("ü.wav", 1.23456, (Phone("AH", 0.12345, 0.2, 0.98765),))
    assert FORMATS["json"].write(document, Options()) == (
        b'{"file": "\\u00fc.wav", "seconds": 1.235, "phones": '
        b'[{"symbol": "AH", "start": 0.123, "end": 0.2, "confidence": 0.988}]}\n'
    )


def tiers(document: Document, options: Options) -> list[str]:
    """Names of the tiers that a document has, from the top."""
    above = [name for name, there in (("utterances", document.lines), ("words", document.words)) if there]
    return [*above, "visemes" if options.visemes else "phones", *(["scores"] if options.scores else [])]


@few
@given(documents(), names)
@example(NONE, IPA)
@example(ONE, Options("xsampa"))
def test_praat_textgrids(folder: Path, document: Document, options: Options) -> None:
    if document.seconds == 0:
        return
    path = written("textgrid", document, options, folder)
    grid = praat.openTextgrid(path, includeEmptyIntervals=True, reportingMode="error")
    name = "visemes" if options.visemes else "phones"
    assert list(grid.tierNames) == tiers(document, options)
    if options.scores:
        confidences = [
            f"{entry.confidence:.2f}" if entry.symbol else "" for entry in intervals(document, options)
        ]
        assert [entry.label for entry in grid.getTier("scores").entries] == confidences
    if document.lines:
        entries = [tuple(entry) for entry in grid.getTier("utterances").entries if entry.label]
        assert entries == [(line.start, line.end, line.symbol) for line in document.lines]
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, document.seconds)
    for tier in grid.tiers:
        assert (tier.entries[0].start, tier.entries[-1].end) == (0, document.seconds)
        assert all(before.end == after.start for before, after in pairwise(tier.entries))
    expected = [(entry.start, entry.end, entry.symbol) for entry in intervals(document, options)]
    assert [tuple(entry) for entry in grid.getTier(name).entries] == expected
    if document.words:
        words = [entry.label for entry in grid.getTier("words").entries if entry.label]
        assert words == [word.text for word in document.words]
    again = TextGrid(path)
    if '"' not in "".join(word.text for word in document.words):  # which pympi leaves doubled
        labels = [label for _, _, label in again.get_tier(name).get_all_intervals()]
        assert labels == [entry.symbol for entry in intervals(document, options)]


@few
@given(documents(), names)
@example(NONE, IPA)
@example(EMPTY, IPA)
@example(ONE, IPA)
def test_elan(folder: Path, document: Document, options: Options) -> None:
    path = written("eaf", document, options, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        eaf = Elan.Eaf(path)
    name = "visemes" if options.visemes else "phones"
    assert sorted(eaf.get_tier_names()) == sorted(tiers(document, options))
    if document.lines:
        lines = sorted(eaf.get_annotation_data_for_tier("utterances"))
        assert [line[2] for line in lines] == [line.symbol for line in document.lines]
    expected = [
        (round(entry.start * 1000), round(entry.end * 1000), entry.symbol)
        for entry in named(document, options)
    ]
    assert sorted(entry[:3] for entry in eaf.get_annotation_data_for_tier(name)) == expected
    assert all(start < end for start, end, _ in expected)
    if document.words:
        words = sorted(eaf.get_annotation_data_for_tier("words"))
        assert [word[2] for word in words] == [word.text for word in document.words]
        inside = all(any(word[0] <= start and end <= word[1] for word in words) for start, end, _ in expected)
        assert eaf.get_parameters_for_tier(name).get("PARENT_REF") == ("words" if inside else None)
    (media,) = eaf.get_linked_files()
    url = media["MEDIA_URL"]
    assert unquote_to_bytes(url.removeprefix("file://")) == os.fsencode(document.file)
    assert url.startswith("file:///") == document.file.startswith("/")
    assert unquote_to_bytes(media["RELATIVE_MEDIA_URL"]) == b"./" + os.fsencode(Path(document.file).name)
    channel = None if document.channel is None else f"channel {document.channel}"
    assert eaf.get_parameters_for_tier(name).get("PARTICIPANT") == channel


@few
@given(documents())
def test_elan_refers_only_to_what_is_there_in_the_order_of_the_schema(document: Document) -> None:
    root = ElementTree.fromstring(FORMATS["eaf"].write(document, Options()))
    order = [element.tag for element in root]
    ranks = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "CONSTRAINT"]
    assert order == sorted(order, key=ranks.index)
    slots = {slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) for slot in root.iter("TIME_SLOT")}
    assert list(slots.values()) == sorted(set(slots.values()))
    ids = [element.attrib["ANNOTATION_ID"] for element in root.iter("ALIGNABLE_ANNOTATION")]
    assert len({*ids, *slots}) == len(ids) + len(slots)
    for annotation in root.iter("ALIGNABLE_ANNOTATION"):
        assert slots[annotation.attrib["TIME_SLOT_REF1"]] <= slots[annotation.attrib["TIME_SLOT_REF2"]]
    types = {element.attrib["LINGUISTIC_TYPE_ID"] for element in root.iter("LINGUISTIC_TYPE")}
    assert {element.attrib["LINGUISTIC_TYPE_REF"] for element in root.iter("TIER")} == types


def test_elan_hangs_phones_under_their_words(folder: Path) -> None:
    phones = [Phone("S", 0.2, 0.24, 0.9), Phone("IY", 0.3, 0.34, 0.9), Phone("AO", 0.7, 0.74, 0.9)]
    pieces = tile(phones, 1.0)
    spoken = [interval for interval in pieces if interval.symbol]
    words = (
        Word("sea", spoken[0].start, spoken[1].end, 0.9, True),
        Word("awe", spoken[2].start, spoken[2].end, 0.9, True),
    )
    eaf = Elan.Eaf(written("eaf", Document("a.opus", 1.0, phones, pieces, words), Options(), folder))
    assert eaf.get_child_tiers_for("words") == ["phones"]
    assert eaf.get_linked_files()[0]["MIME_TYPE"] == "audio/ogg"
    elsewhere = Document("speech/a b.opus", 1.0, phones, pieces, words)
    eaf = Elan.Eaf(written("eaf", elsewhere, Options(folder="results/speech"), folder))
    assert eaf.get_linked_files()[0]["RELATIVE_MEDIA_URL"] == "../../speech/a%20b.opus"


def test_elan_has_no_characters_that_xml_has_not() -> None:
    strange = Document("a.wav", 1.0, (), tile([], 1.0), (Word("a\x00\udcff]]>\ufffe", 0, 1, 0, False),))
    (words,) = [
        tier for tier in ElementTree.fromstring(FORMATS["eaf"].write(strange, IPA)).iter("TIER") if len(tier)
    ]
    assert words.findtext(".//ANNOTATION_VALUE") == "a\ufffd\ufffd]]>\ufffd"


@few
@given(documents(), names)
@example(NONE, IPA)
@example(ONE, IPA)
def test_subtitles(folder: Path, document: Document, options: Options) -> None:
    vtt = webvtt.read(written("vtt", document, options, folder))
    try:
        srt = webvtt.from_srt(written("srt", document, options, folder))
    except webvtt.errors.MalformedFileError:  # an SRT file without cues is empty, which this reader refuses
        assert not sounds(document, options)
        srt = []
    tokens = (
        [word.text for word in document.words]
        if document.words and not options.visemes
        else [entry.symbol for entry in sounds(document, options)]
    )
    escaped = [token.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for token in tokens]
    assert " ".join(cue.raw_text for cue in vtt).split() == escaped
    assert " ".join(cue.raw_text for cue in srt).split() == tokens
    assert [(cue.start, cue.end) for cue in vtt] == [(cue.start, cue.end) for cue in srt]
    for cue in vtt:
        assert cue.start_in_seconds <= cue.end_in_seconds
        assert 1 <= len(cue.lines) <= subtitles.LINES
    for line in (line for cue in srt for line in cue.lines):
        assert len(line) <= subtitles.WIDTH or " " not in line


def test_a_cue_ends_at_a_pause_and_where_it_is_full() -> None:
    phones = [Phone("AH", number * 0.1, number * 0.1 + 0.1, 1.0) for number in range(40)]
    phones += [Phone("B", 6.0, 6.1, 1.0)]
    cues = list(subtitles.cues(Document("a.wav", 7.0, tuple(phones), tile(phones, 7.0)), Options()))
    assert [[len(line.split()) for line in cue.lines] for cue in cues] == [[14, 14], [12], [1]]
    assert cues[0].end == cues[1].start
    assert cues[1].end < 4.2 < 5.9 < cues[2].start


@few
@given(documents(), names)
@example(ONE, IPA)
def test_ctm_as_lhotse_reads_it(folder: Path, document: Document, options: Options) -> None:
    path = written("ctm", document, options, folder)
    recording = Path(document.file).stem.translate({ord(blank): "_" for blank in " \t\n"})
    whole = SupervisionSegment("all", recording, 0, document.seconds + 1, channel=document.channel or 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lhotse's, of files without any line
        read = SupervisionSet.from_segments([whole]).with_alignment_from_ctm(
            path, type="phone", match_channel=True
        )
    expected = named(document, options)
    name = recording.encode(errors="backslashreplace").decode()
    if name != recording:  # escapes: the name is another one for lhotse
        found = [line.split() for line in Path(path).read_text("utf-8").splitlines()]
        assert all((line[0], len(line)) == (name, 6) for line in found)
        assert [line[4] for line in found] == [entry.symbol for entry in expected]
        return
    aligned = (read["all"].alignment or {}).get("phone", [])
    assert [item.symbol for item in aligned] == [entry.symbol for entry in expected]
    for item, entry in zip(aligned, expected, strict=True):
        assert item.start == pytest.approx(entry.start, abs=6e-4)
        assert item.end == pytest.approx(entry.end, abs=6e-4)
        assert item.score == pytest.approx(entry.confidence, abs=6e-4)


@few
@given(documents(), names)
@example(NONE, Options())
@example(ONE, Options("xsampa"))
def test_htk_labels(document: Document, options: Options) -> None:
    expected = intervals(document, options)
    words = []
    at = 0
    lines = FORMATS["lab"].write(document, options).decode().splitlines()
    for line, entry in zip(lines, expected, strict=True):
        lexer = shlex.shlex(line, posix=True)  # HTK's quotes and escapes are much as a shell's
        lexer.whitespace_split, lexer.commenters = True, ""
        if line.split()[2][0] not in "\"'":
            lexer.quotes = '"'  # a quote in the middle of a name is no quote
        begin, end, symbol, *word = lexer
        assert int(begin) == at
        assert int(end) > at
        assert symbol == (entry.symbol or "sil")
        words += word
        at = int(end)
    assert at == round(document.seconds * 1e7)
    if (
        document.words
        and options.visemes is None
        and '"' not in "".join(word.text for word in document.words)
    ):
        assert words == [word.text for word in document.words]


@few
@given(documents(), names)
@example(ONE, IPA)
def test_audacity_labels(document: Document, options: Options) -> None:
    lines = [line.split("\t") for line in FORMATS["audacity"].write(document, options).decode().splitlines()]
    expected = named(document, options)
    assert [label for _, _, label in lines] == [entry.symbol for entry in expected]
    for (start, end, _), entry in zip(lines, expected, strict=True):
        assert (float(start), float(end)) == pytest.approx((entry.start, entry.end), abs=1e-6)


@few
@given(documents(), names)
@example(ONE, IPA)
@example(NONE, IPA)
def test_csv(document: Document, options: Options) -> None:
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"].write(document, options).decode(), newline="")))
    expected = named(document, options)
    assert [row["symbol"] for row in rows] == [entry.symbol for entry in expected]
    name = document.file.encode(errors="backslashreplace").decode()
    for row, entry in zip(rows, expected, strict=True):
        assert row["file"] == name
        assert row["channel"] == ("" if document.channel is None else str(document.channel))
        assert float(row["start"]) == pytest.approx(entry.start, abs=6e-4)
        assert float(row["confidence"]) == pytest.approx(entry.confidence, abs=6e-4)
    if document.words and options.visemes is None:
        said = [row["word"] for row in rows]
        assert [word.text for word in document.words] == [
            text for text, before in zip(said, [None, *said], strict=False) if text != before
        ] or len(set(said)) < len(document.words)
    assert {row["word"] for row in rows} <= {"", *(word.text for word in document.words)}


def test_a_word_is_beside_all_of_its_phones() -> None:
    phones = tuple(
        Phone(symbol, 0.1 * n, 0.1 * n + 0.04, 1.0) for n, symbol in enumerate(["HH", "AH", "T", "S"])
    )
    whole = tuple(Interval(phone.symbol, 0.1 * n, 0.1 * (n + 1), 1.0) for n, phone in enumerate(phones))
    words = (Word("hut", 0.0, 0.29, -0.1, True), Word("s", 0.29, 0.4, -0.1, True))
    document = Document("a.wav", 0.4, phones, whole, words)
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"].write(document, Options()).decode())))
    assert [row["word"] for row in rows] == ["hut", "hut", "hut", "s"]
    labels = FORMATS["lab"].write(document, Options()).decode().splitlines()
    assert [line.split()[2:] for line in labels] == [["HH", "hut"], ["AH"], ["T"], ["S", "s"]]


@few
@given(documents(), st.sampled_from([Options(), IPA, Options(visemes="oculus")]))
@example(EMPTY, Options())
@example(NONE, Options())
def test_rhubarb_s_mouth_cues(document: Document, options: Options) -> None:
    """Cues of its nine shapes, one behind the other from 0 to the end, each another than the one before."""
    found = json.loads(FORMATS["rhubarb"].write(document, options))
    assert found["metadata"] == {"soundFile": document.file, "duration": round(document.seconds, 3)}
    expected = to_visemes(document.intervals, "rhubarb")
    cues = [(cue["value"], cue["start"], cue["end"]) for cue in found["mouthCues"]]
    assert cues == [(shape.symbol, round(shape.start, 3), round(shape.end, 3)) for shape in expected]
    assert {shape for shape, _, _ in cues} <= set("ABCDEFGHX")
    assert all(one[2] == two[1] and one[0] != two[0] for one, two in pairwise(cues))
    if cues:
        assert (cues[0][1], cues[-1][2]) == (0, found["metadata"]["duration"])


@few
@given(documents(), st.sampled_from([None, *VISEMES]), st.sampled_from([1.0, 24.0, 29.97, 1000.0]))
@example(EMPTY, None, 24.0)
def test_moho_switches(document: Document, visemes: str | None, rate: float) -> None:
    """Each frame shows the last shape that begins in it or before; a line for each change, after the first."""
    content = FORMATS["moho"].write(document, Options(visemes=visemes, frame_rate=rate)).decode()
    first, *lines = content.splitlines()
    assert first == "MohoSwitch1"
    changes = [(int(frame), shape) for frame, shape in map(str.split, lines)]
    frames = [frame for frame, _ in changes]
    assert frames[0] == 1
    assert all(before < after for before, after in pairwise(frames))
    assert all(before != after for before, after in pairwise(shape for _, shape in changes))
    name = visemes or "preston-blair"
    rest = VISEMES[name][""][0]
    assert changes[-1][1] == rest
    began = {
        1 + round(shape.start * rate): shape.symbol for shape in to_visemes(document.intervals, name)
    } | {1 + round(document.seconds * rate): rest}
    for frame in began:
        shown = [shape for first, shape in changes if first <= frame][-1]
        assert shown == began[frame]
