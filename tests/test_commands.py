"""A closed list of commands: grammars are what they say, utterances are told apart, whatever the chunks."""

import itertools
import json
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fixture import shipped_model
from snapshots import sealed, unpacked

import phonestream
from phonestream import (
    AudioError,
    CommandResult,
    Commands,
    CommandsSet,
    CommandStream,
    ConfigError,
    DataError,
    Endpoint,
    Recognizer,
    SnapshotError,
    StreamPool,
)
from phonestream.asr.lexicon.phones import PHONES
from phonestream.cli import main
from phonestream.streaming.decode import Decoder
from phonestream.streaming.spotting import command_level
from phonestream.streaming.spotting.command_state import Commanding
from phonestream.streaming.spotting.commands import CommandRecognizer
from phonestream.streaming.spotting.jsgf import read_jsgf, read_phrase
from phonestream.streaming.spotting.phone_tree import BONUS, PhoneTree, free_score, relative

SPEECH = Path(__file__).parent / "data/speech/dev/237-126133-0002.opus"
DECODER = Decoder(("", *PHONES), blank=0, row_seconds=0.02)
ROWS = st.integers(0, 2**32 - 1).map(
    lambda seed: np.log(np.random.default_rng(seed).dirichlet(np.full(5, 0.3), 9) + 1e-9).astype(np.float32)
)
SEQUENCES = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4), min_size=1, max_size=6)
HEADER = "#JSGF V1.0 UTF-8 en;\ngrammar lamp;\n"


@cache
def recognizer() -> Recognizer:
    return Recognizer(shipped_model(), decoder="greedy")


@cache
def speech() -> np.ndarray:
    return soundfile.read(SPEECH, dtype="float32")[0]


def said(phones: str) -> np.ndarray:
    """Rows that say `phones`, each in two rows with a blank behind."""
    voiced = [label for phone in phones.split() for label in [PHONES.index(phone) + 1] * 2 + [0]]
    return rows_of([0] * 10 + voiced + [0] * 10)


def rows_of(labels: list[int]) -> np.ndarray:
    """Rows in which these are the most probable."""
    rows = np.full((len(labels), 40), np.log(0.1 / 39), np.float32)
    rows[np.arange(len(labels)), labels] = np.log(0.9)
    return rows


def best_path(rows: np.ndarray, phones: list[int]) -> float:
    """By Viterbi over the labels with blanks between them, one sequence at a time."""
    labels = [0, *itertools.chain.from_iterable((phone, 0) for phone in phones)]
    paths = np.full(len(labels), -np.inf)
    for number, row in enumerate(rows):
        before = paths.copy() if number else np.array([0.0, *paths[1:]])
        for at, label in enumerate(labels):
            ways = [before[at]]
            if at and (number or at == 1):
                ways.append(before[at - 1])
            if at > 1 and label and label != labels[at - 2]:
                ways.append(before[at - 2])
            paths[at] = max(ways) + row[label]
    return float(max(paths[-2:])) + BONUS * len(phones)


@settings(deadline=None, max_examples=25)
@given(ROWS, SEQUENCES)
def test_a_tree_scores_each_sequence_as_alone(rows: np.ndarray, sequences: list[list[int]]) -> None:
    tree, values = PhoneTree(sequences, blank=0), relative(rows)
    scores = tree.scores(tree.decode(tree.initial(), values))
    expected = [best_path(values, phones) for phones in sequences]
    possible = np.array(expected) > -1e6
    np.testing.assert_allclose(scores[possible], np.array(expected)[possible], atol=1e-9)
    assert (scores[~possible] < -1e6).all()


@settings(deadline=None, max_examples=15)
@given(ROWS)
def test_any_phones_at_all_are_the_best_of_all_sequences(rows: np.ndarray) -> None:
    values = relative(rows)[:4]
    every = [
        list(phones) for length in range(1, 5) for phones in itertools.product(range(1, 5), repeat=length)
    ]
    tree = PhoneTree(every, blank=0)
    scores = tree.scores(tree.decode(tree.initial(), values))
    assert free_score(values, 0) == pytest.approx(max(scores.max(), values[:, 0].sum()))


@settings(deadline=None, max_examples=15)
@given(ROWS, SEQUENCES, st.integers(0, 9))
def test_a_tree_goes_on_where_it_was(rows: np.ndarray, sequences: list[list[int]], cut: int) -> None:
    tree, values = PhoneTree(sequences, blank=0), relative(rows)
    parts = tree.decode(tree.decode(tree.initial(), values[:cut]), values[cut:])
    np.testing.assert_array_equal(parts, tree.decode(tree.initial(), values))


def test_slots_stand_for_sentences() -> None:
    assert read_phrase("turn [the] (kitchen | bath room) light (on | off)", "here") == [
        f"turn {the}{room} light {switch}"
        for the in ("the ", "")
        for room in ("kitchen", "bath room")
        for switch in ("on", "off")
    ]
    assert read_phrase("stop", "here") == ["stop"]


def test_jsgf_is_read() -> None:
    text = (
        HEADER
        + """// a comment, and /* another
        public <command> = /10/ <polite> <action> <object> | /1/ stop {halt} | "good night" {a\\}b};
        /* over
           lines */
        <polite> = [please | could you <NULL>];
        <action> = (open | close) ;
        <object> = the <thing> | <VOID> never;
        <thing> = window; public <second> = hello;"""
    )
    assert read_jsgf(text, "lamp.gram") == [
        *(
            f"{polite}{action} the window"
            for polite in ("please ", "could you ", "")
            for action in ("open", "close")
        ),
        "stop",
        "good night",
        "hello",
    ]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("public <a> = go <b>;\n<b> = <a>;", r"line 4, column 7: <a> contains itself"),
        ("public <a> = go <b>;", "line 3, column 17: there is no rule <b>"),
        ("public <a> = go\n", "line 4, column 1: expected ';', found the end"),
        ("public <a> = (go;", r"line 3, column 17: expected '\)', found ';'"),
        ("public <a> = go | ;", "column 19: expected a word, found ';'"),
        ("public <a> = go+;", r"column 16: \+ is without end"),
        ("public <a> = go \\;", r"column 17: unexpected"),
        ("import <other.*>;", "imports cannot be had"),
        ("<a> = go;", "no rule is public"),
        ("public <a> = go; <a> = stop;", "column 18: rule <a> is given twice"),
        ("public <a> = <VOID>;", "no sentence"),
        ("public <a> = " + "(" * 60 + "go", "60|50 deep"),
        ("public <a> = " + "(a | b) " * 20 + ";", "1,048,576 sentences"),
        ("public <a> = " + "(a | b) " * 40 + ";", "1,000,000,000 or more sentences"),
        ("public <a> = " + "(a | b) " * 20_000 + ";", "1,000,000,000 or more sentences"),
        ("<a0> = go | stop;" + "".join(f"<a{n}> = <a{n - 1}> <a{n - 1}>;" for n in range(1, 90))
         + "public <z> = <a89>;", "1,000,000,000 or more sentences"),
        ("public <a> = <VOID> (" + "(a | b)" * 60 + ");", "1,000,000,000 or more sentences"),
        ("".join(f"<a{n}> = <a{n + 1}>;" for n in range(3000)) + "<a3000> = go; public <z> = <a0>;", "too deep"),
        (f"public <{'a' * 10_000}> = <{'a' * 10_000}>;", "contains itself"),
        (f"public <a> = go; {'b' * 10_000}", "expected"),
        ("<a> = go go;" + "".join(f"<a{n}> = <a{n - 1}> <a{n - 1}>;" for n in range(1, 90)).replace("<a0>", "<a>")
         + "public <z> = <a89>;", "a sentence of"),
    ],
)  # fmt: skip
def test_bad_grammars_have_one_line(body: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        read_jsgf(HEADER + body, "lamp.gram")
    assert str(caught.value).startswith("lamp.gram")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300, "as long as what it complains of"


def test_rules_are_expanded_once_however_often_they_are_named() -> None:
    rules = "<a0> = <NULL>;" + "".join(f"<a{n}> = <a{n - 1}> <a{n - 1}>;" for n in range(1, 60))
    assert read_jsgf(HEADER + rules + "public <z> = lamp <a59>;", "lamp.gram") == ["lamp"]


@pytest.mark.parametrize(
    ("phrases", "says"),
    [
        ([], "no commands"),
        (["…"], "no letters"),
        (["привет"], "lexicon is of English"),
        (["a"], "at least 2 phones"),
        (["stop", "stop"], "twice"),
        ([f"word {number}" for number in range(10_000)], "10,000 commands"),
        (["turn (on"], "column 9: expected"),
        ([3], "expected text"),
    ],
)
def test_bad_commands_have_one_line(phrases: list[Any], says: str) -> None:
    with pytest.raises((ConfigError, DataError), match=says) as caught:
        Commands(phrases)
    assert "\n" not in str(caught.value)


def test_a_threshold_behind_a_command_is_named(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("dog\ncat\t0.3\n")
    with pytest.raises(DataError, match=r"list: line 2: a tab"):
        Commands.read(tmp_path / "list")


def test_a_command_is_told_from_others_and_from_none() -> None:
    commands = Commands(["lamp (on | off)", "stop", "quinoa /K IY N W AA/"])
    ready = CommandRecognizer(DECODER, commands)
    for command in commands:
        for variant in command.variants:
            result = ready.recognize(said(" ".join(variant.phones)))
            assert result.command == result.best == command.phrase
            assert result.score > 0.9
            assert result.second in {other.phrase for other in commands} - {command.phrase}
    nothing = ready.recognize(said("W AH T IH Z DH IH S"))
    assert nothing.rejected
    assert nothing.command is None
    everything = CommandRecognizer(DECODER, Commands(["stop"], threshold=0)).recognize(said("M IY"))
    assert (everything.command, everything.second) == ("stop", None)


def test_a_sentence_that_ends_otherwise_than_a_command_is_none() -> None:
    """Common words are short and fit it worse than the command: any phones at all fit better."""
    ready = CommandRecognizer(DECODER, Commands(["turn the light off", "stop"]))
    assert ready.recognize(said("T ER N DH AH L AY T AO F")).score > 0.9
    assert ready.recognize(said("T ER N DH AH L AY T AO S")).command == "turn the light off"  # one misheard
    other = ready.recognize(said("T ER N DH AH L AY T AA N"))
    assert other.best == "turn the light off"
    assert other.rejected


def test_a_vowel_is_no_word_beside_a_command() -> None:
    """The lexicon has *a* and *uh*: an "up" of which the P is faint is up."""
    rows, faint = said("AH"), PHONES.index("P") + 1
    rows[13, [0, faint]] = np.log([0.965, 0.005])
    assert CommandRecognizer(DECODER, Commands(["up", "stop"])).recognize(rows).command == "up"


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-50, 20), min_size=2, max_size=6), st.floats(-50, 20), st.integers(2, 30))
def test_words_that_fit_as_well_speak_against_a_command_together(
    words: list[float], best: float, length: int
) -> None:
    def level(others: list[float], phones: float = -1e9) -> float:
        return float(command_level.level(best, length, command_level.log_sum(np.array(others)), phones))

    assert level(words) == pytest.approx(1.5 * best - 1.5 * np.log(np.exp(np.array(words) / 1.5).sum()))
    assert level(words) <= level(words[:-1])
    assert level(words, best + 8 * max(1, length / 4)) <= 0.5 * best + 1e-9  # any phones fit so much better


def sentences() -> Commands:
    return Commands(["then dear [said]", "turn the light (on | off)"])


def test_a_stream_tells_its_commands_cut_saved_copied_or_in_a_batch() -> None:
    audio = np.concatenate([speech()[:24_000], np.zeros(16_000, np.float32), speech()[:12_000]])

    def told(*cuts: int) -> list[Any]:
        stream, events = CommandStream(recognizer(), sentences()), []
        for part in np.split(audio, cuts):
            events += stream.accept(part)
            stream.copy().finish()
            stream = recognizer().restore(stream.save(), commands=sentences())
        return events + stream.finish() + recognizer().restore(stream.save(), commands=sentences()).finish()

    def pooled() -> list[Any]:
        pool = StreamPool(recognizer(), decoder="greedy")
        stream, other = (pool.open(endpoints=True, commands=sentences()) for _ in range(2))
        stream.push(audio)
        other.push(audio[::-1])
        stream.finish()
        events = []
        while pool.ready:
            events += [event for result in pool.tick() if result.stream is stream for event in result.events]
        return events

    stream = CommandStream(recognizer(), sentences())
    whole = stream.accept(audio) + stream.finish()
    results = [event for event in whole if isinstance(event, CommandResult)]
    assert len(results) == 2
    for parts in (told(640, 5_001, 5_001, 30_000), pooled()):
        assert [type(event) for event in parts] == [type(event) for event in whole]
        for one, other in zip(
            [event for event in parts if isinstance(event, CommandResult)], results, strict=True
        ):
            assert one._replace(score=0.0) == other._replace(score=0.0)
            assert one.score == pytest.approx(other.score, abs=1e-4)
            assert 0 <= one.start < one.end <= len(audio) / 16_000
    assert results[0].best.startswith("then dear")
    assert isinstance(whole[whole.index(results[0]) - 1], Endpoint)
    assert whole[-1] == results[1]  # the end of the stream ends an utterance, too


def test_other_commands_in_a_stream_whatever_the_chunks_in_a_pool_and_restored() -> None:
    """The utterance that goes on is compared with the new ones in whole, whenever they came in it."""
    turns = [None, Commands(["stop", "lamp (on | off)"]), sentences()]
    audio = [
        speech()[:8_000],
        speech()[8_000:16_000],
        np.append(speech()[16_000:24_000], np.zeros(16_000, "f4")),
    ]

    def run(size: int, saved: bool = False) -> list[Any]:
        stream, events = recognizer().stream(endpoints=True, decoder="greedy"), []
        for commands, samples in zip(turns, audio, strict=True):
            stream.set_commands(commands)
            if saved:
                stream = recognizer().restore(stream.save(), commands=commands)
            for first in range(0, len(samples), size):
                events += stream.accept(samples[first : first + size])
        events += stream.finish()
        with pytest.raises(AudioError, match="finished"):
            stream.set_commands(None)
        return [event for event in events if isinstance(event, CommandResult)]

    (whole,) = run(len(speech()))
    assert whole.best.startswith("then dear")
    assert whole.start > 8_000 / 16_000 - 0.5  # before there were none
    alike = [whole._replace(score=pytest.approx(whole.score, abs=1e-4))]
    assert run(999) == alike
    assert run(len(speech()), saved=True) == alike
    pool = StreamPool(recognizer(), decoder="greedy")
    stream = pool.open(endpoints=True)
    for commands, samples in zip(turns, audio, strict=True):
        stream.set_commands(commands)
        stream.push(samples)
    stream.finish()
    events = []
    while pool.ready:
        events += [event for result in pool.tick() for event in result.events]
    assert [event for event in events if isinstance(event, CommandResult)] == alike
    told = [event for event in events if isinstance(event, CommandsSet)]
    assert [event.phrases for event in told] == [[word.phrase for word in turn or ()] for turn in turns]
    assert told[0].start == 0 < told[1].start < 8_000 / 16_000


@cache
def slow() -> CommandRecognizer:
    """For rows of a second, of which 30 are kept."""
    return CommandRecognizer(Decoder(("", *PHONES), blank=0, row_seconds=1.0), sentences())


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_pieces_of_rows_change_nothing(data: st.DataObject) -> None:
    """A step over rows is as many over parts of them, and no more is kept than is said."""
    ready = slow()
    labels = data.draw(st.lists(st.sampled_from([0] * 9 + [7]), min_size=60, max_size=60))
    rows, endings = rows_of(labels), sorted(data.draw(st.sets(st.integers(1, 60), max_size=4)))
    cuts = sorted(data.draw(st.sets(st.integers(1, 60), max_size=6)))
    told, whole = Commanding(ready).decode(0, rows, endings)
    parts, state = [], Commanding(ready)
    for begin, end in itertools.pairwise([0, *cuts, len(rows)]):
        some, state = state.decode(begin, rows[begin:end], [row for row in endings if begin < row <= end])
        parts += some
    assert parts == told
    assert (state.first, state.voiced, state.rows.tolist()) == (
        whole.first,
        whole.voiced,
        whole.rows.tolist(),
    )
    assert len(state.rows) <= 30


def test_a_day_of_nothing_is_skipped_and_told_from_what_was_said() -> None:
    stream = CommandStream(recognizer(), sentences())
    events = (
        stream.accept(speech()[:24_000]) + stream.gap(24 * 3600 * 16_000) + stream.accept(speech()[:24_000])
    )
    first, second = [event for event in events + stream.finish() if isinstance(event, CommandResult)]
    assert second.best == first.best
    assert second.start - first.start == pytest.approx(24 * 3600 + 1.5, abs=0.1)


def test_a_snapshot_wants_the_same_commands() -> None:
    stream = CommandStream(recognizer(), sentences())
    stream.accept(speech()[:16_000])
    for commands, says in ((None, "give the same commands"), (Commands(["stop"]), "other commands")):
        with pytest.raises(SnapshotError, match=says):
            recognizer().restore(stream.save(), commands=commands)
    with pytest.raises(SnapshotError, match="without commands"):
        recognizer().restore(recognizer().stream(endpoints=True).save(), commands=sentences())


@pytest.mark.parametrize(
    ("change", "damage"),
    [
        ({"first": -1}, None),
        ({"first": 10**6}, None),
        ({"voiced": False}, None),
        ({"voiced": "yes"}, None),
        ({"more": 1}, None),
        ({}, lambda rows: rows[:, 1:]),
        ({}, lambda rows: rows + 50),
        ({}, lambda rows: np.repeat(rows, 100, axis=0)),
        ({}, lambda rows: rows * np.nan),
    ],
)
def test_a_damaged_utterance_is_refused(change: dict[str, Any], damage: Any) -> None:
    stream = CommandStream(recognizer(), sentences())
    stream.accept(speech()[:16_000])
    fields, tensors = unpacked(stream.save())
    fields["commands"] |= change
    if damage is not None:
        tensors["commands.rows"] = np.ascontiguousarray(damage(tensors["commands.rows"]))
    with pytest.raises(SnapshotError, match="damaged"):
        recognizer().restore(sealed(fields, tensors), commands=sentences())


def test_an_utterance_that_is_kept_whole_begins_where_its_rows_do() -> None:
    stream = CommandStream(recognizer(), sentences())
    stream.accept(np.concatenate([np.zeros(32_000, np.float32), speech()[:32_000]]))
    fields, tensors = unpacked(stream.save())
    assert fields["commands"]["voiced"]
    fields["commands"]["first"] -= 1
    with pytest.raises(SnapshotError, match=r"commands\.first"):
        recognizer().restore(sealed(fields, tensors), commands=sentences())


def test_commands_need_endpoints() -> None:
    says = set()
    without = recognizer().stream()
    for ask in (
        partial(recognizer().stream, commands=sentences()),
        partial(without.set_commands, sentences()),
    ):
        with pytest.raises(ConfigError) as refused:
            ask()
        says.add(str(refused.value))
    assert len(says) == 1
    with pytest.raises(ConfigError, match="endpoints"):
        CommandStream(recognizer(), sentences(), endpoints=False)
    for stream in (recognizer().stream(), StreamPool(recognizer()).open()):
        stream.set_commands(None)
        with pytest.raises(ConfigError, match="endpoints"):
            stream.set_commands(sentences())
        with pytest.raises(ConfigError, match="expected None or Commands"):
            stream.set_commands(["stop"])  # type: ignore[arg-type]


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["spot", "--model", str(shipped_model()), *map(str, arguments)])
    output, errors = capfd.readouterr()
    return int(left.value.code or 0), output, errors


def test_the_command_tells_what_python_tells(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    listing, clip, long = tmp_path / "commands.txt", tmp_path / "clip.wav", tmp_path / "long.wav"
    listing.write_text("# of a lamp\nturn the light (on | off)\n\nthen dear  # the beginning\n")
    soundfile.write(clip, speech()[:16_000], 16_000)
    soundfile.write(long, np.zeros(16_000 * 31), 16_000)
    status, output, errors = run(capfd, clip, long, "--commands", listing, "--format", "json")
    (line,) = output.splitlines()
    result = phonestream.recognize_command(clip, Commands.read(listing), recognizer())
    told = json.loads(line)
    assert list(told) == ["file", "command", "score", "second", "best"]
    assert (told["command"], told["second"], told["best"]) == (result.command, result.second, result.best)
    assert told["score"] == pytest.approx(result.score, abs=1e-4)
    assert status == 1
    assert "longer than 30 s" in errors
    with pytest.raises(AudioError, match="longer than 30 s"):
        phonestream.recognize_command(long, Commands.read(listing), recognizer())


def test_commands_and_keywords_do_not_mix(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, _, errors = run(capfd, SPEECH, "--commands", tmp_path / "none.txt", "--keyword", "lamp")
    assert status == 2
    assert "--commands" in errors
    status, _, errors = run(capfd, SPEECH, "--commands", tmp_path / "none.txt")
    assert status == 1
    assert "cannot be read" in errors
