"""WSJ as LDC's discs hold it: the usual sets by their indices, SPHERE audio, words without what is none."""

from pathlib import Path

import pytest
import soundfile
from corpus_layouts import AUDIO, ROWS, SPEECH, TEXT, wsj

from phonestream.asr.corpora.corpus import PreparedCorpus, load_cuts, load_samples, prepare, reference_phones
from phonestream.asr.corpora.wsj import words
from phonestream.asr.lexicon.lexicon import Lexicon


def sets(prepared: PreparedCorpus, folder: Path) -> dict[str, list[tuple[str, str, str]]]:
    """For each split the id, the speaker and the corpus of its recordings."""
    return {
        split.name: [
            (cut.id, cut.supervisions[0].speaker, cut.supervisions[0].custom["corpus"])
            for cut in load_cuts(folder, split.name)
        ]
        for split in prepared.splits
    }


@pytest.mark.parametrize("upper", [False, True], ids=["lower", "UPPER"])
def test_the_sets_that_papers_report_on(tmp_path: Path, upper: bool) -> None:
    prepared = prepare(wsj(tmp_path / "discs", upper), tmp_path / "cuts")
    assert prepared.layout == "wsj"
    assert prepared.problems == ()
    assert sets(prepared, tmp_path / "cuts") == {
        "train": [("011c0201", "011", "si84"), ("46bc0202", "46b", "si200")],
        "dev": [("4k0c0301", "4k0", "dev93")],
        "test": [("440c0401", "440", "eval92")],
    }
    for split, number in (("dev", 3), ("test", 4)):
        (cut,) = load_cuts(tmp_path / "cuts", split)
        assert reference_phones(cut) == Lexicon().phones(ROWS[number][TEXT])
        expected, _ = soundfile.read(SPEECH / ROWS[number][AUDIO], dtype="int16")
        assert (load_samples(cut) * 32768).astype("int16").tolist() == expected.tolist()


def test_wsj0_alone_trains_on_si84(tmp_path: Path) -> None:
    prepared = prepare(wsj(tmp_path / "discs", discs=("11",)), tmp_path / "cuts")
    assert {split.name: split.recordings for split in prepared.splits} == {"train": 1, "test": 1}
    assert sets(prepared, tmp_path / "cuts")["train"] == [("011c0201", "011", "si84")]


def test_compressed_recordings_are_named_until_they_are_converted(tmp_path: Path) -> None:
    corpus = wsj(tmp_path / "discs")
    compressed = corpus / "11-1.1/wsj0/si_tr_s/011/011c0201.wv1"
    samples, rate = soundfile.read(compressed, dtype="int16")
    header = b"NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n"
    compressed.write_bytes(header.ljust(1024) + b"ajkg" + bytes(4000))
    (problem,) = prepare(corpus, tmp_path / "cuts").problems
    assert "tr_s_wv1.ndx:2: " in str(problem)
    assert "sph2pipe" in str(problem)
    elsewhere = corpus / "converted/wsj0/si_tr_s/011/011c0201.wav"
    elsewhere.parent.mkdir(parents=True)
    soundfile.write(elsewhere, samples, rate)
    assert prepare(corpus, tmp_path / "cuts").problems == ()
    assert load_cuts(tmp_path / "cuts", "train")[0].recording.sources[0].source == str(elsewhere)


def test_what_is_missing_is_named_with_the_line_that_lists_it(tmp_path: Path) -> None:
    corpus = wsj(tmp_path / "discs")
    (corpus / "13-16.1/wsj1/si_dt_20/4k0/4k0c0301.wv1").unlink()
    (corpus / "11-4.1/wsj0/transcrp/dots/si_et_20/440/440c0400.dot").write_bytes(b"\xff\xfe no text\n")
    with (corpus / "13-34.1/wsj1/doc/indices/si_tr_s.ndx").open("a") as file:
        file.write("what is this\n")
    prepared = prepare(corpus, tmp_path / "cuts")
    assert [split.name for split in prepared.splits] == ["train"]
    problems = sorted(str(problem) for problem in prepared.problems)
    assert len(problems) == 4
    assert "440c0400.dot" in problems[1]
    assert "si_et_20.ndx:2: no .dot file has a transcript of 440c0401" in problems[0]
    assert "h1_p0.ndx:2: there is no recording wsj1/si_dt_20/4k0/4k0c0301.wv1" in problems[2]
    assert "si_tr_s.ndx:3: is no line of an index" in problems[3]


@pytest.mark.parametrize(
    ("dot", "said"),
    [
        ("The sale of the *hotels* is w:ell !under way .", "the sale of the hotels is well under way"),
        (
            "[loud_breath] A BIT [<door_slam] OF [phone_ring/] NOISE [/phone_ring] [door_slam>] ~",
            "a bit of noise",
        ),
        ("<and> HOLIDAY'S 'BOUT \\.POINT FIVE \\%PERCENT", "and holiday's 'bout point five percent"),
        (
            ',COMMA \\"DOUBLE-QUOTE --DASH (LEFT-PAREN ...ELLIPSIS',
            "comma double-quote dash left-paren ellipsis",
        ),
        ("I. B. M. SELF-HELP STRENG- STRENGTHENING", "i. b. m. self-help streng- strengthening"),
        ("[lip_smack] .", ""),
    ],
)
def test_only_what_was_said_is_a_word(dot: str, said: str) -> None:
    assert words(dot) == said
    Lexicon().phones(said)  # which pronounces all of it
