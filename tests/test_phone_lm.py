"""The phone language model is a probability, packed and read back, and what is no such model is refused in a line."""

import gzip
import hashlib
import itertools
import json
import lzma
import math
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonestream import DataError, ModelError
from phonestream.asr.lexicon.lexicon import Lexicon
from phonestream.asr.lexicon.ngram import BOUNDARY
from phonestream.asr.lexicon.phones import PHONES
from phonestream.asr.phone_lm import estimate
from phonestream.asr.phone_lm.text import Sentences, pronounce, read_lines, segment
from phonestream.cli import main
from phonestream.streaming.decoding import arpa, phone_lm, trie
from phonestream.streaming.decoding.load import bundled_language_models, load
from phonestream.streaming.decoding.phone_lm import PhoneLM

MODELS = Path(__file__).parent.parent / "src" / "phonestream" / "models"
SYMBOLS = 2 * len(PHONES)  # phones, within words and at their beginnings

streams = st.lists(
    st.lists(st.integers(1, 5) | st.integers(40, 44), min_size=1, max_size=8), min_size=1, max_size=8
).map(lambda sentences: np.array([s for one in sentences for s in (*one, BOUNDARY)], np.uint8))


@pytest.fixture(scope="module")
def corpus(speech_dir: Path) -> Sentences:
    """The sentences of the shipped recordings."""
    rows = [line.split("\t") for line in (speech_dir / "manifest.tsv").read_text().splitlines()]
    phones, text = rows[0].index("phones"), rows[0].index("text")
    return segment([(row[phones].split(), row[text]) for row in rows[1:]], Lexicon())


def scores(lm: PhoneLM, history: list[int]) -> np.ndarray:
    """log P of each symbol after `history` at a sentence's start."""
    context = lm.start
    for symbol in history:
        rows, places = lm.rows(np.array([context]))
        context = int(rows.nexts[places[0], symbol])
    rows, places = lm.rows(np.array([context]))
    found: np.ndarray = rows.scores[places[0]]
    return found


def katz(lines: list[str], history: list[str], word: str) -> float:
    """log P by the definition of the ARPA format, in nats: the longest n-gram there is, and back-off weights."""
    table = {}
    for line in lines:
        fields = line.split()
        if line[:1] in "-0123456789" and len(fields) > 1:
            length = max(n for n in (len(fields) - 1, len(fields) - 2) if n > 0 and not _number(fields[n]))
            weight = float(fields[-1]) if len(fields) == length + 2 else 0.0
            table[tuple(fields[1 : length + 1])] = (float(fields[0]), weight)
    score = 0.0
    while (*history, word) not in table:
        score += table.get(tuple(history), (0.0, 0.0))[1]
        history = history[1:]
    return math.log(10) * (score + table[*history, word][0])


def _number(field: str) -> bool:
    return field[-1:].isdigit()


# What is learnt


@pytest.mark.parametrize(("order", "prune"), [(2, 0.0), (3, 0.0), (6, 0.0), (6, 1e-3)])
def test_what_follows_any_history_adds_up_to_one(corpus: Sentences, order: int, prune: float) -> None:
    lm = PhoneLM(trie.read(estimate.learn(corpus.stream, order=order, prune=prune).data))
    assert lm.order <= order
    for history in ([], [29], [78, 39], corpus.stream[:9].tolist(), [41, 2, 3, 45, 7]):
        total = np.exp(scores(lm, history)[1:]).sum()  # all but the start of a sentence
        assert total == pytest.approx(1, abs=0.05)  # scores are rounded


@given(stream=streams, order=st.integers(2, 4))
@settings(deadline=None, max_examples=15)
def test_it_is_a_probability_however_little_there_is(stream: np.ndarray, order: int) -> None:
    lm = PhoneLM(trie.read(estimate.learn(stream, order=order, prune=0).data))
    for history in ([], [1], [40, 2], [9]):
        assert np.exp(scores(lm, history)[1:]).sum() == pytest.approx(1, abs=0.1)


def test_it_knows_what_it_has_seen_and_a_size_is_kept(corpus: Sentences) -> None:
    models = [estimate.learn(corpus.stream, order=order, prune=0) for order in (2, 3, 5)]
    values = [estimate.perplexity(model.data, [corpus.stream]) for model in models]
    assert values == sorted(values, reverse=True)
    whole = len(estimate.learn(corpus.stream, order=5, prune=0).data)
    for size in (whole, 3 * whole // 4, whole // 2):
        model = estimate.learn(corpus.stream, order=5, size=size)
        assert 0.6 * size <= len(model.data) <= size
    with pytest.raises(DataError, match="size 100: no model is as small"):
        estimate.learn(corpus.stream, order=5, size=100)


def test_words_begin_where_the_transcript_says(corpus: Sentences) -> None:
    lexicon = Lexicon()
    said = pronounce(["The cat.", "...", "Привет"], lexicon)
    dh, ah, k, ae, t = (PHONES.index(phone) + 1 for phone in ("DH", "AH", "K", "AE", "T"))
    marked = [dh + len(PHONES), ah, k + len(PHONES), ae, t, BOUNDARY]
    assert (said.stream.tolist(), said.words, said.skipped) == (marked, 2, 1)
    spoken = (["DH", "AH", "K", "AE", "T"], "The cat")
    found = segment([spoken, spoken, (["DH", "IY", "K"], "the cat"), (["T"], "")], lexicon)
    assert (found.stream.tolist(), found.words, found.skipped) == (marked, 2, 2)
    rare = ["the zzyzxq cat", "the cat"]
    assert pronounce(rare, lexicon, rare=1) == (pytest.approx(said.stream), 2, 1)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_a_text_whose_line_does_not_end_is_refused(packed: bool, tmp_path: Path) -> None:
    """It may be of a pipe that never ends: no more of it is kept than a line may have."""
    path = tmp_path / ("text.gz" if packed else "text")
    content = b"one line\n" + b"y" * (1 << 22)
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match="after line 1: a line is longer than 1 MiB"):
        list(read_lines(path))


@pytest.mark.parametrize("name", ["text", "text.gz", "text.xz"])
def test_texts_are_read_however_they_are_compressed(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    pack: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".xz": lzma.compress}
    data = pack.get(path.suffix, bytes)("eins\nzwölf\n".encode())
    path.write_bytes(data)
    assert [line.strip() for line in read_lines(path)] == ["eins", "zwölf"]
    path.write_bytes(b"\xff\xfe" if path.suffix == "" else data[:-4])
    with pytest.raises(DataError, match=rf"{name}: after line .*; give UTF-8 text") as raised:
        list(read_lines(path))
    assert "\n" not in str(raised.value)


# What is packed


def test_a_text_without_end_is_refused_within_bounds() -> None:
    lexicon = Lexicon()
    with pytest.raises(DataError, match=r"^/dev/stdin: more than 3,000 words and lines.*give a part of it"):
        pronounce(itertools.repeat("so it is"), lexicon, source="/dev/stdin", most=3000)
    with pytest.raises(DataError, match="or 100 different words"):
        pronounce((f"go {'a' * number}" for number in itertools.count()), lexicon, most_different=100)
    with pytest.raises(DataError, match=r"200,000,001 phones.*at most 200,000,000"):
        estimate.learn(np.zeros(estimate.MAX_SYMBOLS + 1, np.uint8))


def test_short_lines_take_little_memory_each() -> None:
    lexicon = Lexicon()
    lexicon.pronunciations("go")  # reads the dictionary
    tracemalloc.start()
    try:
        found = pronounce(itertools.repeat("go", 100_000), lexicon)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.stream.tobytes() == found.stream[:3].tobytes() * 100_000
    assert peak < 80 * 100_000


@given(stream=streams, histories=st.lists(st.lists(st.integers(1, 5), max_size=5), min_size=1, max_size=5))
@settings(deadline=None, max_examples=15)
def test_arpa_files_are_read_to_a_millionth(
    stream: np.ndarray, histories: list[list[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("arpa") / "lm.arpa.gz"
    estimate.save(estimate.learn(stream, order=4, prune=0, word_marks=False).data, path)
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    lm = PhoneLM(arpa.read(path))
    names = ["<s>", *PHONES, "</s>"]
    for history in histories:
        words = ["<s>", *(names[symbol] for symbol in history)][-3:]
        found = scores(lm, history)
        for symbol in (1, 3, 5, lm.end):
            assert found[symbol] == pytest.approx(katz(lines, words, names[symbol]), abs=1e-6)


def test_contexts_are_found_whatever_was_asked_before(
    corpus: Sentences, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With rows dropped now and then, and for a number that comes from elsewhere."""
    model = trie.read(estimate.learn(corpus.stream, order=6, prune=0).data)
    whole, small = PhoneLM(model), PhoneLM(model)
    monkeypatch.setattr(phone_lm, "MAX_ROWS", 40)
    for context in np.random.default_rng(0).integers(0, whole.contexts, 200):
        rows, places = whole.rows(np.array([context]))
        other, others = small.rows(np.array([context]))
        assert np.array_equal(rows.scores[places], other.scores[others])
        assert np.array_equal(rows.nexts[places], other.nexts[others])


def test_the_bundled_one() -> None:
    assert "default" in bundled_language_models()
    assert (MODELS / "default.lm").stat().st_size <= 4_000_000
    lm = load("default", PHONES)
    assert lm.word_marks
    assert lm.phones == PHONES


@pytest.fixture(scope="module")
def packed(corpus: Sentences) -> bytes:
    return estimate.learn(corpus.stream, order=3).data


@given(data=st.data())
@settings(deadline=None, max_examples=30)
def test_a_file_that_was_changed_is_refused(packed: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(packed) - 1))
    changed = bytearray(packed)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match=r"begin as one|checksum"):
        trie.read(bytes(changed))
    with pytest.raises(ValueError, match=r"begin as one|checksum"):
        trie.read(packed[:place])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": -1}, "step of -1"),
        ({"phones": ["AA", "AA"]}, "phones"),
        ({"phones": 3}, "phones"),
        ({"phones": list("ABC")}, "n-grams of one symbol"),
        ({"word_marks": 1}, "word_marks"),
        ({"nodes": 10**12}, "nodes"),
        ({"nodes": 10}, "entries|contexts"),
        ({"contexts": 1}, "entries|context"),
        ({"stored": [1, 2, 3, 4]}, "zlib|entries|header"),
        ({"stored": "x"}, "header"),
        ({"step": 5e-324}, "add up to .*, not to 1"),
        ({"step": "x" * 10**6}, "a step of"),
        ({"step": 10**4000}, "a step of"),
        ({"nodes": [0] * 10**6}, "nodes"),
        ({"word_marks": "x" * 10**6}, "word_marks"),
        ({"phones": ["x" * 10**6] * 2}, "phones"),
    ],
)
def test_a_file_that_cannot_be_is_refused_though_its_checksum_is_right(
    packed: bytes, change: dict[str, Any], message: str
) -> None:
    begin = len(trie.MAGIC) + 4
    length = int.from_bytes(packed[begin - 4 : begin], "little")
    header = json.loads(packed[begin : begin + length]) | change
    text = json.dumps(header).encode()
    with pytest.raises(ValueError, match=message) as raised:
        trie.read(sealed(text, packed[begin + length : -32]))
    assert len(str(raised.value)) < 300, "as long as what it complains of"


def sealed(header: bytes, stored: bytes) -> bytes:
    """A packed file whose checksum is right."""
    body = trie.MAGIC + len(header).to_bytes(4, "little") + header + stored
    return body + hashlib.sha256(body).digest()


@pytest.mark.parametrize("header", [b"", b"\xff\xfe", b"[" * 10**5, b"null", b"[1]", b'"phones"'])
def test_a_header_that_is_none_is_refused(header: bytes) -> None:
    with pytest.raises(ValueError, match="its header is"):
        trie.read(sealed(header, b""))


def test_bytes_behind_the_arrays_are_refused(packed: bytes) -> None:
    begin = len(trie.MAGIC) + 4
    length = int.from_bytes(packed[begin - 4 : begin], "little")
    with pytest.raises(ValueError, match="3 bytes too many"):
        trie.read(sealed(packed[begin : begin + length], packed[begin + length : -32] + b"and"))


@pytest.mark.parametrize("children", [0, 1, 79])
def test_a_small_file_that_claims_a_large_model_takes_little_memory(children: int) -> None:
    nodes = 2**24
    symbol, extends = np.zeros(nodes, np.uint8), np.full(nodes, children, np.uint8)
    symbol[1:81], extends[0] = np.arange(80), 80
    arrays = [symbol, extends, symbol, np.zeros(nodes // 2, np.uint8)]
    stored = [zlib.compress(array, 1) for array in arrays]
    header = {
        "phones": PHONES, "word_marks": True, "step": 0.1, "nodes": nodes, "contexts": nodes // 2,
        "stored": list(map(len, stored)), "about": "",
    }  # fmt: skip
    data = sealed(json.dumps(header).encode(), b"".join(stored))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="not one tree"):
            trie.read(data)
        assert tracemalloc.get_traced_memory()[1] < 5 * nodes
    finally:
        tracemalloc.stop()


ARPA = """\\data\\
ngram 1=4
ngram 2=1

\\1-grams:
-1\t<s>\t-0.5
-1\t</s>
-0.5\tAA
-0.7\tB

\\2-grams:
-0.2\t<s> AA

\\end\\
"""


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("-0.7\tB", "nan\tB", "line 9: not log10"),
        ("-0.7\tB", "0.7\tB", "line 9: not log10"),
        ("-0.5\n", "-0.5\n", "line"),
        ("\\data\\", "data", "no line"),
        ("-0.7\tB\n", "", "line 10: expected a 1-gram, as the counts say"),
        ("\\end\\\n", "", "truncated: it ends after line 13"),
        ("ngram 2=1", "ngram 2=999999999", "line 3: 1,000,000,003 n-grams.*prune"),
        ("ngram 1=4", "ngram 1=60000", "60,000 words, at most 126 phones.*model of words"),
        ("<s> AA", "<s> Q", "line 12: 'Q' is no n-gram of length 1"),
        ("-0.7\tB", "-0.7\tB\t1e308", "line 9: not log10 of a probability and of a back-off weight"),
        (
            "-0.5\tAA\n-0.7\tB",
            "-0.0\tAA\n-0.0\tB",
            "of its phones and of a sentence's end add up to 2.1, not to 1",
        ),
        ("-0.2\t<s> AA\n", "\n" * 2000, "line 1012: more than 1000 empty lines"),
        ("ngram 2=1", "ngram 2=" + "9" * 4000, "line 3: 10,000,000.* n-grams of lengths"),
        ("-1\t</s>\n", "-1\tC\n", "n-grams of one symbol"),
        ("-0.7\tB", "-0.7\tB\t-1", "has a back-off weight"),
        ("-0.2\t<s> AA", "-0.2\t<s> AA AA AA", "line 12: expected a 2-gram"),
    ],
)
def test_arpa_files_that_cannot_be(before: str, after: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    path.write_text(ARPA)
    assert PhoneLM(arpa.read(path)).phones == ("AA", "B")
    if before == after:
        return
    path.write_text(ARPA.replace(before, after))
    with pytest.raises(ModelError, match=f"not a usable language model: .*{message}") as raised:
        load(path, ("AA",))
    assert "\n" not in str(raised.value)


def test_language_models_that_cannot_be_used(tmp_path: Path) -> None:
    garbage, empty, cut = tmp_path / "garbage", tmp_path / "empty", tmp_path / "cut.arpa.gz"
    garbage.write_bytes(bytes(range(256)) * 20)
    empty.write_bytes(b"")
    cut.write_bytes(gzip.compress(ARPA.encode())[:-12])
    endless = tmp_path / "endless.arpa.gz"
    endless.write_bytes(gzip.compress(b"\\data\\\n" + b"\n" * 10**7))
    large = tmp_path / "large.lm"
    with large.open("wb") as file:
        file.write(trie.MAGIC)
        file.truncate(2**30)
    other = tmp_path / "other.arpa"
    other.write_text(ARPA)
    for source, message in [
        (garbage, "not a usable language model"),
        (empty, "not a usable language model"),
        (cut, "truncated or damaged"),
        (endless, "line 1002: more than 1000 empty lines"),
        (large, "1,073,741,824 bytes, at most .* can be had; prune"),
        (tmp_path, "not a file"),
        (tmp_path / "none", r"No such file.*there are: .*default"),
        ("a\0b", "null"),
        (other, r"of other phones: it lacks 37 of the model's 39 \(AE AH AO AW AY …\)"),
    ]:
        with pytest.raises(ModelError, match=message) as raised:
            load(source, PHONES)
        assert "\n" not in str(raised.value)


def test_an_arpa_file_takes_memory_for_numbers_not_for_its_text(tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(100)]
    unigrams = [f"-2\t{name}\t0" for name in ("<s>", "</s>", *names)]
    bigrams = [f"-2\t{one} {other}\t0" for one in names for other in names]
    trigrams = [f"-2\t{one} {other} {third}" for one in names for other in names for third in names[:10]]
    counts = [f"ngram {k}={len(some)}" for k, some in enumerate((unigrams, bigrams, trigrams), start=1)]
    text = ["\\data\\", *counts]
    for k, some in enumerate((unigrams, bigrams, trigrams), start=1):
        text += [f"\\{k}-grams:", *some]
    path = tmp_path / "lm.arpa"
    path.write_text("\n".join([*text, "\\end\\", ""]))
    tracemalloc.start()
    try:
        assert len(arpa.read(path).symbol) == 1 + 102 + 10_000 + 100_000
        assert tracemalloc.get_traced_memory()[1] < 150 * 110_000
    finally:
        tracemalloc.stop()


def test_a_file_that_has_changed_is_read_again(corpus: Sentences, tmp_path: Path) -> None:
    path = tmp_path / "lm"
    estimate.save(estimate.learn(corpus.stream, order=2).data, path)
    assert load(path, PHONES) is load(path, PHONES)
    path.write_text("nothing of the kind")
    with pytest.raises(ModelError, match="no line"):
        load(path, PHONES)


def test_what_cannot_be_learnt_from(corpus: Sentences) -> None:
    for changes, message in [
        ({"order": 1}, "order 1: expected a number from 2 to 9"),
        ({"order": 10}, "order 10"),
        ({"prune": -1.0}, "prune -1"),
        ({"prune": math.nan}, "prune nan"),
        ({"stream": np.zeros(3, np.uint8)}, "no phones"),
    ]:
        with pytest.raises(DataError, match=message):
            estimate.learn(**({"stream": corpus.stream} | changes))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="cannot be written: Not a directory; make room, or give another"):
        estimate.save(b"", Path("/dev/null/lm"))
    with pytest.raises(DataError, match="no sentences"):
        estimate.perplexity(estimate.learn(corpus.stream).data, [])


# The command


def test_the_command(speech_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["phone-lm", *map(str, arguments)])
        return (int(ended.value.code or 0), *capfd.readouterr())

    text, output = tmp_path / "text.xz", tmp_path / "new.lm"
    text.write_bytes(lzma.compress(b"The cat sat on the mat.\nA dog barked.\n\n"))
    data = ("--data", speech_dir, "--split", "dev")
    status, out, err = run("--text", text, *data, "--order", 3, "--measure", "test", "--output", output)
    assert (status, err) == (0, "")
    first, second, third = out.splitlines()
    assert first == f"{text}: 9 words, 0 lines skipped"
    assert second.startswith(f"{output}: ")
    assert third.startswith("test: perplexity ")
    lm = load(output, PHONES)
    assert (lm.order, lm.word_marks) == (3, True)

    plain, packed = tmp_path / "plain.arpa.gz", tmp_path / "packed.lm"
    assert run(*data, "--order", 3, "--output", plain)[0] == 0
    assert run("--arpa", plain, "--output", packed)[0] == 0
    one, other = scores(load(plain, PHONES), [1, 2]), scores(load(packed, PHONES), [1, 2])
    np.testing.assert_allclose(one[1:], other[1:], atol=0.3)  # rounded, at each back-off

    empty = tmp_path / "empty"
    empty.write_text("...\n\n")
    failure = f"phonestream: {empty}: no words to learn from; give text with a sentence a line\n"
    assert run("--text", empty, "--output", output) == (1, "", failure)
