"""Corpora: every layout becomes the same kind of cut set, and what cannot be used is named, never lost."""

import errno
import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import lhotse
import numpy as np
import pytest
import soundfile
import soxr
from corpus_layouts import PHONES_COLUMN, ROWS, SPEECH, TEXT, librispeech, place, recording, write
from hypothesis import given, settings
from hypothesis import strategies as st

from phonestream.asr.corpora import cuts as corpora_cuts
from phonestream.asr.corpora.corpus import (
    PreparedCorpus,
    format_prepared,
    frames_needed,
    load_cuts,
    load_samples,
    prepare,
    read_audio,
    read_split,
    reference_phones,
    speech_root,
)
from phonestream.asr.corpora.rows import parse_phones
from phonestream.asr.corpora.timit import fold
from phonestream.asr.lexicon.lexicon import Lexicon
from phonestream.asr.lexicon.phones import PHONES
from phonestream.cli import main
from phonestream.errors import AudioError, AudioWarning, DataError

HEADER = "id\tsplit\tpath\ttext\tphones"


def tone(path: Path, seconds: float = 1.0, rate: int = 16000, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(seconds * rate)) / rate
    waves = [np.sin(2 * np.pi * 220 * (channel + 1) * times) / 4 for channel in range(channels)]
    soundfile.write(path, np.stack(waves, axis=1), rate)
    return path


def only_problem(prepared: PreparedCorpus) -> str:
    assert len(prepared.problems) == 1, prepared.problems
    return str(prepared.problems[0])


# The speech folder


def test_the_speech_folder_becomes_cut_sets_of_whole_recordings(tmp_path: Path):
    prepared = prepare(SPEECH, tmp_path)
    assert prepared.problems == ()
    assert prepared.layout == "manifest"
    assert [(split.name, split.recordings, split.speakers) for split in prepared.splits] == [
        ("dev", 4, 4),
        ("test", 2, 2),
    ]
    assert "dev.jsonl.gz: 4 recordings, 0.5 minutes, 4 speakers" in format_prepared(prepared)
    row = dict(zip(ROWS[0], ROWS[1], strict=True))
    cut = load_cuts(tmp_path, "dev")[0]
    assert cut.id == row["id"]
    assert cut.supervisions[0].text == row["text"]
    assert cut.supervisions[0].speaker == row["speaker"]
    assert cut.supervisions[0].custom == {"phones": row["phones"], "corpus": row["corpus"]}
    assert reference_phones(cut) == row["phones"].split()
    assert cut.duration == pytest.approx(float(row["seconds"]), abs=0.01)


def test_lhotse_reads_what_was_written_and_hears_the_same_samples(tmp_path: Path):
    prepare(SPEECH, tmp_path)
    for cut in lhotse.load_manifest(tmp_path / "test.jsonl.gz"):
        samples = load_samples(cut)
        assert samples.dtype == np.float32
        np.testing.assert_array_equal(samples, cut.load_audio()[0])
        np.testing.assert_array_equal(
            samples, soundfile.read(cut.recording.sources[0].source, dtype="float32")[0]
        )


def test_the_same_corpus_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    prepare(SPEECH, tmp_path / "one")
    monkeypatch.chdir(SPEECH.parent)
    prepare(Path("speech"), tmp_path / "two")
    for name in ("dev.jsonl.gz", "test.jsonl.gz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_manifest_serves_without_being_prepared(tmp_path: Path):
    prepare(SPEECH, tmp_path)
    assert list(load_cuts(SPEECH, "test")) == list(load_cuts(tmp_path, "test"))


def test_preparing_again_replaces_a_split_and_leaves_the_others(tmp_path: Path):
    prepare(SPEECH, tmp_path / "cuts")
    before = (tmp_path / "cuts" / "test.jsonl.gz").read_bytes()
    tone(tmp_path / "mine" / "a.wav")
    write(tmp_path / "mine" / "a.txt", "we want")
    prepare(tmp_path / "mine", tmp_path / "cuts", split="dev")
    assert [cut.id for cut in load_cuts(tmp_path / "cuts", "dev")] == ["a"]
    assert (tmp_path / "cuts" / "test.jsonl.gz").read_bytes() == before


def test_a_corpus_without_phones_gets_the_lexicons(tmp_path: Path):
    place(tmp_path / "a.opus")
    write(tmp_path / "manifest.tsv", f"id\tsplit\tpath\ttext\na\tdev\ta.opus\t{ROWS[1][TEXT]}\n")
    assert reference_phones(load_cuts(tmp_path, "dev")[0]) == Lexicon().phones(ROWS[1][TEXT])


BAD_ROWS = {
    "missing audio": ("a\tdev\tnone.wav\tyes\tY EH S", "none.wav: no such file"),
    "not audio": ("a\tdev\ttext.wav\tyes\tY EH S", "text.wav: is not audio"),
    "empty audio": ("a\tdev\tempty.wav\tyes\tY EH S", "empty.wav: is empty"),
    "no samples": ("a\tdev\tsilent.wav\tyes\tY EH S", "silent.wav: holds no samples"),
    "cut short": ("a\tdev\tshort.opus\tyes\tY EH S", "short.opus: "),
    "empty transcript": ("a\tdev\tgood.wav\t\t", "empty transcript"),
    "silence alone": ("a\tdev\tgood.wav\t\tsil SP", "empty transcript"),
    "unknown phone": ("a\tdev\tgood.wav\tyes\tY EX S", "unknown phone 'EX'"),
    "word that cannot be said": ("a\tdev\tgood.wav\tжук\t", "cannot pronounce 'ж'"),
    "too long for its audio": (
        f"a\tdev\tgood.wav\tyes\t{' '.join(['T'] * 14)}",
        "transcript is longer than its audio allows: 14 phones need 27 frames of 40 ms and 1.00 s have 25",
    ),
    "column missing": ("a\tdev\tgood.wav\tyes", "has 4 columns where the first line has 5"),
    "no id": ("\tdev\tgood.wav\tyes\tY EH S", "the column 'id' is empty"),
    "split that is a path": ("a\t../dev\tgood.wav\tyes\tY EH S", "split '../dev' cannot be a file's name"),
    "id twice": ("good\tdev\tgood.wav\tyes\tY EH S", "id good is also at"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_a_bad_row_is_named_and_the_others_go_on(tmp_path: Path, kind: str):
    line, reason = BAD_ROWS[kind]
    corpus = tmp_path / "corpus"
    tone(corpus / "good.wav")
    write(corpus / "text.wav", "this is no audio, whatever its name says\n" * 20)
    write(corpus / "empty.wav", "")
    soundfile.write(corpus / "silent.wav", np.zeros(0), 16000)
    (corpus / "short.opus").write_bytes(recording().read_bytes()[:9000])
    write(
        corpus / "manifest.tsv",
        f"{HEADER}\ngood\tdev\tgood.wav\tyes\tY EH S\n{line}\nlast\tdev\tgood.wav\tyes\tY EH S\n",
    )
    prepared = prepare(corpus, tmp_path / "cuts")
    problem = only_problem(prepared)
    assert problem.startswith(f"{corpus / 'manifest.tsv'}:3: ")
    assert reason in problem
    assert "\n" not in problem
    assert [cut.id for cut in load_cuts(tmp_path / "cuts", "dev")] == ["good", "last"]
    assert "left out: 1" in format_prepared(prepared)

    cuts, problems = read_split(corpus, "dev")
    if "path" not in kind:  # that row is in no split that one could ask for
        assert [str(item) for item in problems] == [problem]
    assert [cut.id for cut in cuts] == ["good", "last"]
    with pytest.raises(DataError, match=r"manifest\.tsv:3: .*phonestream prepare"):
        load_cuts(corpus, "dev")


def test_a_manifest_with_another_duration_than_the_audio_is_noticed(tmp_path: Path):
    tone(tmp_path / "a.wav", 2.0)
    write(
        tmp_path / "manifest.tsv",
        f"{HEADER}\tseconds\na\tdev\ta.wav\tyes\tY EH S\t8.5\nb\tdev\ta.wav\tyes\tY EH S\tlong\n",
    )
    prepared = prepare(tmp_path, tmp_path / "cuts")
    assert "holds 2.00 s where 8.50 s are stated" in str(prepared.problems[0])
    assert "seconds is 'long'" in str(prepared.problems[1])


def test_damage_that_headers_do_not_show_is_found_by_decoding(tmp_path: Path):
    samples = np.zeros(32000, np.float32)
    samples[20000] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    write(tmp_path / "a.txt", "yes")
    assert prepare(tmp_path, tmp_path / "cuts").problems == ()
    with pytest.raises(AudioError, match=r"a\.wav: holds NaN"):
        load_samples(load_cuts(tmp_path / "cuts", "train")[0])
    assert "NaN" in only_problem(prepare(tmp_path, tmp_path / "cuts", decode=True))


def test_channels_that_cancel_are_told_where_audio_is_decoded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    left = np.random.default_rng(0).uniform(-0.3, 0.3, 32000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, -left], axis=1), 16000)
    write(tmp_path / "a.txt", "yes")
    prepare(tmp_path, tmp_path / "cuts")
    with pytest.warns(AudioWarning, match=r"/a\.wav: its 2 channels cancel each other"):
        load_samples(load_cuts(tmp_path / "cuts", "train")[0])
    with pytest.raises(SystemExit, match="0"):
        main(["prepare", str(tmp_path), "--output", str(tmp_path / "cuts"), "--decode"])
    err = capsys.readouterr().err
    assert err.startswith(f"phonestream: {tmp_path}/a.wav: its 2 channels cancel each other")
    assert err.count("\n") == 1


def test_nothing_usable_writes_nothing(tmp_path: Path):
    write(tmp_path / "manifest.tsv", f"{HEADER}\na\tdev\tnone.wav\tyes\tY EH S\n")
    prepared = prepare(tmp_path, tmp_path / "cuts")
    assert prepared.splits == ()
    assert "nothing was written" in format_prepared(prepared)
    assert not (tmp_path / "cuts").exists()
    with pytest.raises(DataError, match="nothing of dev can be used"):
        read_split(tmp_path, "dev")


def test_a_full_disk_leaves_the_splits_from_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    prepare(SPEECH, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(corpora_cuts.os, "fsync", full)
    shutil.copytree(SPEECH, tmp_path / ".changed")
    with pytest.raises(DataError, match="cut sets cannot be written: No space left"):
        prepare(tmp_path / ".changed", tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_progress_counts_every_recording(tmp_path: Path):
    seen: list[tuple[int, int]] = []
    prepare(SPEECH, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 6) for number in range(1, 7)]


# LibriSpeech


def test_librispeech_as_it_is_unpacked(tmp_path: Path):
    prepared = prepare(librispeech(tmp_path / "LibriSpeech"), tmp_path / "cuts")
    assert prepared.layout == "librispeech"
    assert prepared.problems == ()
    assert {split.name: split.recordings for split in prepared.splits} == {"train": 1, "dev": 1, "test": 2}
    test = load_cuts(tmp_path / "cuts", "test")
    assert [cut.supervisions[0].custom["corpus"] for cut in test] == ["test-clean", "test-other"]
    cut = load_cuts(tmp_path / "cuts", "train")[0]
    assert cut.id == ROWS[1][0]
    assert cut.supervisions[0].speaker == ROWS[1][0].split("-")[0]
    assert cut.supervisions[0].text == ROWS[1][TEXT]
    assert reference_phones(cut) == ROWS[1][PHONES_COLUMN].split()


def test_librispeech_is_what_lhotses_own_recipe_reads(tmp_path: Path):
    corpus = librispeech(tmp_path / "LibriSpeech")
    parts = [part.name for part in sorted(corpus.iterdir())]
    prepare(corpus, tmp_path / "cuts")
    ours = {cut.id: cut for split in ("train", "dev", "test") for cut in load_cuts(tmp_path / "cuts", split)}
    read = lhotse.recipes.prepare_librispeech(corpus, dataset_parts=parts)
    theirs = {entry.id: (part, entry) for part in parts for entry in read[part]["supervisions"]}
    assert ours.keys() == theirs.keys()
    for name, (part, supervision) in theirs.items():
        mine, recording = ours[name].supervisions[0], read[part]["recordings"][name]
        assert (mine.text, mine.speaker) == (supervision.text.lower(), supervision.speaker)
        assert (mine.custom["corpus"], ours[name].num_samples) == (part, recording.num_samples)
        assert Path(ours[name].recording.sources[0].source) == Path(recording.sources[0].source)


def test_one_part_of_librispeech_alone(tmp_path: Path):
    librispeech(tmp_path)
    prepared = prepare(tmp_path / "test-other", tmp_path / "cuts")
    assert {split.name: split.recordings for split in prepared.splits} == {"test": 1}


def test_what_librispeech_lacks_is_named(tmp_path: Path):
    corpus = librispeech(tmp_path / "LibriSpeech")
    folder = corpus / "dev-clean-2" / "237" / "126133"
    folder.mkdir(parents=True)
    write(folder / "237-126133.trans.txt", "237-126133-0000 YES\n237-126133-0001\n")
    place(folder / "237-126133-0001.flac")
    place(folder / "237-126133-0009.flac")
    write(corpus / "other" / "1" / "1-1.trans.txt", "1-1-0000 YES\n")
    problems = [str(problem) for problem in prepare(corpus, tmp_path / "cuts").problems]
    assert len(problems) == 4
    for reason in (
        "237-126133.trans.txt:1: ",
        "237-126133.trans.txt:2: empty transcript",
        "1-1.trans.txt: lies in no folder called train-…",
        "237-126133-0009.flac: has no line",
    ):
        assert any(reason in problem for problem in problems), (reason, problems)


# A folder of one's own


def test_transcripts_beside_audio_of_many_formats(tmp_path: Path):
    corpus = tmp_path / "mine"
    for name in ("a.wav", "b.flac", "c.opus", "d.mp3", "e.ogg"):
        place(corpus / "anna" / name)
        write((corpus / "anna" / name).with_suffix(".txt"), "We want you\nto help us. ")
    prepared = prepare(corpus, tmp_path / "cuts")
    assert prepared.layout == "folder"
    assert prepared.problems == ()
    cuts = load_cuts(tmp_path / "cuts", "train")
    assert [cut.id for cut in cuts] == ["anna/a", "anna/b", "anna/c", "anna/d", "anna/e"]
    for cut in cuts:
        supervision = cut.supervisions[0]
        assert (supervision.text, supervision.speaker) == ("We want you to help us.", "anna")
        assert supervision.custom["corpus"] == "mine"
        assert reference_phones(cut) == Lexicon().phones("we want you to help us")
        assert len(load_samples(cut)) == cut.num_samples


def test_top_folders_train_dev_and_test_are_splits(tmp_path: Path):
    corpus = tmp_path / "mine"
    for name in ("train/anna/a", "train/b", "dev/c", "test-l2/d", "notes/e"):
        write(tone(corpus / f"{name}.wav").with_suffix(".txt"), "yes")
    prepared = prepare(corpus, tmp_path / "cuts")
    assert {split.name: split.recordings for split in prepared.splits} == {"train": 2, "dev": 1, "test-l2": 1}
    assert "e.wav: lies in none of the split folders dev, test-l2, train" in only_problem(prepared)
    speakers = [cut.supervisions[0].speaker for cut in load_cuts(tmp_path / "cuts", "train")]
    assert speakers == ["anna", None]
    with pytest.raises(DataError, match="leave --split dev out"):
        prepare(corpus, tmp_path / "cuts", split="dev")


PHONE_FILES = {
    "a.phn": "Y EH1 S\n",
    "b.lab": "0 1000000 sil\n1000000 3000000 y\n3000000 5000000 eh -12.5\n5000000 7000000 s\n",
    "c.phn": "sil\ny\neh\ns\n",
}


def test_phone_lists_beside_audio(tmp_path: Path):
    for name, content in PHONE_FILES.items():
        tone((tmp_path / "mine" / name).with_suffix(".wav"))
        write(tmp_path / "mine" / name, content)
    write(tmp_path / "mine" / "a.txt", "yes")
    assert prepare(tmp_path / "mine", tmp_path / "cuts", split="dev").problems == ()
    cuts = load_cuts(tmp_path / "cuts", "dev")
    assert [reference_phones(cut) for cut in cuts] == [["Y", "EH", "S"]] * 3
    assert [cut.supervisions[0].text for cut in cuts] == ["yes", "", ""]


def test_a_table_of_transcripts(tmp_path: Path):
    corpus = tmp_path / "mine"
    for name in ("x/a.wav", "x/b.wav", "x/c.wav"):
        tone(corpus / name)
    write(
        corpus / "transcripts.tsv",
        "path\tspeaker\ttext\tphones\nx/a.wav\tanna\tyes\t\n./x/b.wav\t\t\tN OW\n"
        "x/none.wav\t\tyes\t\nx/a.wav\t\tno\t\nx\n",
    )
    prepared = prepare(corpus, tmp_path / "cuts")
    cuts = load_cuts(tmp_path / "cuts", "train")
    assert [(cut.id, cut.supervisions[0].speaker) for cut in cuts] == [("x/a", "anna"), ("x/b", "x")]
    assert [reference_phones(cut) for cut in cuts] == [["Y", "EH", "S"], ["N", "OW"]]
    reasons = [str(problem) for problem in prepared.problems]
    assert f"{corpus / 'transcripts.tsv'}:4: {corpus / 'x/none.wav'} is missing" in reasons
    assert any("transcripts.tsv:5: " in reason and "has a transcript at" in reason for reason in reasons)
    assert any("transcripts.tsv:6: has 1 columns" in reason for reason in reasons)
    assert any("c.wav: has no transcript" in reason for reason in reasons)
    assert len(reasons) == 4


def test_a_list_of_names_and_words(tmp_path: Path):
    corpus = tmp_path / "mine"
    for name in ("one/a.wav", "one/b.wav", "two/b.wav", "two/c.wav"):
        tone(corpus / name)
    write(corpus / "text", "a yes\none/b  oh  yes\nb no\nd no\ntwo/c\n")
    prepared = prepare(corpus, tmp_path / "cuts")
    cuts = load_cuts(tmp_path / "cuts", "train")
    assert [(cut.id, cut.supervisions[0].text) for cut in cuts] == [("one/a", "yes"), ("one/b", "oh yes")]
    reasons = "\n".join(map(str, prepared.problems))
    assert "text:3: 2 audio files are called b" in reasons
    assert "text:4: no audio file is called d" in reasons
    assert "text:5: empty transcript" in reasons
    assert f"{corpus / 'two/b.wav'}: has no transcript" in reasons
    assert len(prepared.problems) == 4


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no transcript": (lambda folder: tone(folder / "b.wav"), "b.wav: has no transcript"),
    "empty transcript": (
        lambda folder: write(tone(folder / "b.wav").with_suffix(".txt"), " \n"),
        "b.txt: empty transcript",
    ),
    "not UTF-8": (
        lambda folder: tone(folder / "b.wav").with_suffix(".txt").write_bytes(b"caf\xe9"),
        "b.txt:1: not UTF-8 text",
    ),
    "words for phones": (
        lambda folder: write(tone(folder / "b.wav").with_suffix(".lab"), "the word"),
        "unknown phone",
    ),
    "name twice": (lambda folder: tone(folder / "a.flac"), "has the same name with another suffix"),
    "a format that is not read": (
        lambda folder: write(write(folder / "b.m4a", "ftyp" * 99).with_suffix(".txt"), "yes"),
        "b.m4a: is not audio",
    ),
    "Shorten": (
        lambda folder: write(
            write(
                folder / "b.wv1", "NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v1.09\n"
            ).with_suffix(".txt"),
            "yes",
        ),
        "b.wv1: is SPHERE audio with Shorten compression; convert it with `sph2pipe -f wav`",
    ),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_named_and_the_others_go_on(tmp_path: Path, kind: str):
    make, reason = BAD_FILES[kind]
    write(tone(tmp_path / "mine" / "good.wav").with_suffix(".txt"), "yes")
    write(tone(tmp_path / "mine" / "a.wav").with_suffix(".txt"), "yes")
    make(tmp_path / "mine")
    problems = [str(problem) for problem in prepare(tmp_path / "mine", tmp_path / "cuts").problems]
    assert any(reason in problem for problem in problems), problems
    assert "good" in [cut.id for cut in load_cuts(tmp_path / "cuts", "train")]


def test_links_and_hidden_files(tmp_path: Path):
    write(tone(tmp_path / "elsewhere" / "a.wav").with_suffix(".txt"), "yes")
    corpus = tmp_path / "mine"
    corpus.mkdir()
    (corpus / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(corpus)
    write(corpus / "._a.wav", "resource fork")
    prepared = prepare(corpus, tmp_path / "cuts")
    assert prepared.problems == ()
    assert [cut.id for cut in load_cuts(tmp_path / "cuts", "train")] == ["linked/a"]


# TIMIT


def timit(root: Path, upper: bool) -> Path:
    """Two training and three test speakers, a sentence each and the sentence that all read."""
    speakers = ("TRAIN/DR1/FCJF0", "TRAIN/DR8/MBCG0", "TEST/DR1/FELC0", "TEST/DR2/FCMR0", "TEST/DR1/FAKS0")
    for speaker in speakers:
        for sentence in ("SA1", "SX37"):
            case = str.upper if upper else str.lower
            folder = root / case(speaker)
            folder.mkdir(parents=True, exist_ok=True)
            soundfile.write(
                folder / case(f"{sentence}.WAV"), np.ones(16000) / 8, 16000, format="NIST", subtype="PCM_16"
            )
            write(folder / case(f"{sentence}.TXT"), "0 16000 Don't ask.\n")
            symbols = ["h#", "dcl", "d", "ow", "n", "tcl", "q", "ae", "s", "kcl", "k", "h#"]
            lines = [f"{1000 * i} {1000 * (i + 1)} {symbol}\n" for i, symbol in enumerate(symbols)]
            write(folder / case(f"{sentence}.PHN"), "".join(lines))
            write(folder / case(f"{sentence}.WRD"), "2000 7000 don't\n7000 9900 ask\n")
    return root


@pytest.mark.parametrize("upper", [True, False], ids=["UPPER", "lower"])
def test_timit_with_its_speakers_in_the_usual_splits(tmp_path: Path, upper: bool):
    prepared = prepare(timit(tmp_path / "TIMIT", upper), tmp_path / "cuts")
    assert prepared.layout == "timit"
    assert prepared.problems == ()
    assert {split.name: split.recordings for split in prepared.splits} == {
        "train": 2,
        "dev": 1,
        "test": 1,
        "test-rest": 1,
    }
    cut = load_cuts(tmp_path / "cuts", "test")[0]
    assert cut.id == "felc0-sx37"
    assert cut.supervisions[0].text == "Don't ask."
    assert reference_phones(cut) == ["D", "OW", "N", "T", "AE", "S", "K"]
    assert len(load_samples(cut)) == 16000


def test_closures_and_releases_are_one_stop():
    assert fold(["tcl", "ch", "dcl", "jh", "tcl", "t", "pcl", "kcl", "k", "gcl"]) == "CH JH T P K G"
    assert (
        fold(["hv", "ax-h", "dx", "axr", "el", "em", "en", "eng", "nx", "ux", "q", "h#", "pau", "epi", "zh"])
        == "HH AH T ER AH L AH M AH N IH NG N UW ZH"
    )


def test_a_timit_symbol_that_does_not_exist_is_reported(tmp_path: Path):
    corpus = timit(tmp_path / "TIMIT", True)
    write(corpus / "TRAIN/DR1/FCJF0/SX37.PHN", "0 9 h#\n9 99 xx\n")
    write(corpus / "TRAIN/DR8/MBCG0/SX37.PHN", "0 9\n")
    problems = [str(problem) for problem in prepare(corpus, tmp_path / "cuts").problems]
    assert len(problems) == 2
    assert "FCJF0/SX37.PHN: unknown phone 'XX'" in problems[1] + problems[0]
    assert "MBCG0/SX37.PHN: is not a TIMIT phone list" in problems[1] + problems[0]


# Layouts, and asking for what is not there


def test_unclear_and_unknown_layouts_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="not a folder"):
        prepare(tmp_path / "none", tmp_path / "cuts")
    with pytest.raises(DataError, match="holds no audio"):
        prepare(tmp_path, tmp_path / "cuts")
    tone(tmp_path / "a.wav")
    with pytest.raises(DataError, match="1 audio files but no transcripts"):
        prepare(tmp_path, tmp_path / "cuts")
    with pytest.raises(DataError, match="nothing of the layout timit"):
        prepare(tmp_path, tmp_path / "cuts", layout="timit")
    librispeech(tmp_path / "LibriSpeech")
    write(tmp_path / "manifest.tsv", f"{HEADER}\na\tdev\ta.wav\tyes\tY EH S\n")
    with pytest.raises(
        DataError, match=r"looks like manifest .* and librispeech .*: say which with --layout"
    ):
        prepare(tmp_path, tmp_path / "cuts")
    assert prepare(tmp_path, tmp_path / "cuts", layout="manifest").splits[0].recordings == 1
    with pytest.raises(DataError, match="unknown layout 'kaldi'"):
        prepare(tmp_path, tmp_path / "cuts", layout="kaldi")
    with pytest.raises(DataError, match="splits of its own"):
        prepare(tmp_path, tmp_path / "cuts", layout="manifest", split="dev")


def test_a_table_without_its_columns_is_refused(tmp_path: Path):
    tone(tmp_path / "a.wav")
    write(tmp_path / "manifest.tsv", "id\tsplit\tpath\n")
    with pytest.raises(DataError, match=r"manifest\.tsv:1: lacks the column 'text'"):
        prepare(tmp_path, tmp_path / "cuts")
    (tmp_path / "manifest.tsv").unlink()
    write(tmp_path / "transcripts.tsv", "file\ttext\n")
    with pytest.raises(DataError, match=r"transcripts\.tsv:1: must name"):
        prepare(tmp_path, tmp_path / "cuts")


def test_splits_that_do_not_exist_are_refused_with_those_that_do(tmp_path: Path):
    prepare(SPEECH, tmp_path)
    with pytest.raises(DataError, match="no split 'train': it has dev, test"):
        load_cuts(tmp_path, "train")
    with pytest.raises(DataError, match="no split 'train': it has dev, test"):
        load_cuts(SPEECH, "train")
    with pytest.raises(DataError, match="neither cut sets nor a manifest"):
        load_cuts(SPEECH / "dev", "dev")
    with pytest.raises(DataError, match="not a folder"):
        load_cuts(tmp_path / "none", "dev")


def test_a_damaged_cut_set_is_refused(tmp_path: Path):
    prepare(SPEECH, tmp_path)
    path = tmp_path / "dev.jsonl.gz"
    whole = path.read_bytes()
    lines = gzip.decompress(whole).splitlines(keepends=True)
    damaged = {
        "truncated": whole[: len(whole) // 2],
        "no gzip": b"".join(lines),
        "no JSON": gzip.compress(lines[0] + b"{]\n"),
        "no cut": gzip.compress(b'{"type": "MonoCut"}\n'),
        "no phones": gzip.compress(lines[0].replace(b'"phones"', b'"words"')),
        "empty": gzip.compress(b""),
    }
    for content in damaged.values():
        path.write_bytes(content)
        with pytest.raises(
            DataError, match=r"dev\.jsonl\.gz.*phonestream prepare|dev\.jsonl\.gz.*prepare the corpus again"
        ):
            load_cuts(tmp_path, "dev")


def test_the_speech_folder_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PHONESTREAM_SPEECH", str(SPEECH))
    assert speech_root() == SPEECH
    monkeypatch.setenv("PHONESTREAM_SPEECH", str(tmp_path / "none"))
    with pytest.raises(DataError, match="none, which is not a folder"):
        speech_root()
    monkeypatch.delenv("PHONESTREAM_SPEECH")
    with pytest.raises(DataError, match="PHONESTREAM_SPEECH is not set"):
        speech_root()


# Samples


def test_another_rate_and_more_channels_become_16_khz_mono(tmp_path: Path):
    write(tone(tmp_path / "a.wav", 1.5, rate=44100, channels=2).with_suffix(".txt"), "yes")
    prepare(tmp_path, tmp_path / "cuts")
    cut = load_cuts(tmp_path / "cuts", "train")[0]
    samples, rate = read_audio(cut)
    assert (len(samples), rate) == (66150, 44100)
    both, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    np.testing.assert_allclose(samples, both.mean(axis=1), atol=1e-7)
    converted = load_samples(cut)
    assert len(converted) == 24000
    np.testing.assert_allclose(converted, soxr.resample(samples, 44100, 16000, quality="VHQ"), atol=1e-6)


def test_a_part_of_a_recording(tmp_path: Path):
    cut = load_cuts(SPEECH, "dev")[0]
    whole = load_samples(cut)
    np.testing.assert_array_equal(load_samples(cut.truncate(offset=1.0, duration=0.5)), whole[16000:24000])


def test_audio_that_changed_after_it_was_prepared_is_refused(tmp_path: Path):
    write(tone(tmp_path / "a.wav").with_suffix(".txt"), "yes")
    prepare(tmp_path, tmp_path / "cuts")
    cut = load_cuts(tmp_path / "cuts", "train")[0]
    tone(tmp_path / "a.wav", 0.5)
    with pytest.raises(
        AudioError, match=r"a\.wav: holds 8000 samples at 16000 Hz where the cut set says 16000"
    ):
        load_samples(cut)
    (tmp_path / "a.wav").unlink()
    with pytest.raises(AudioError, match=r"a\.wav: no such file"):
        load_samples(cut)
    with pytest.raises(DataError, match="without transforms"):
        load_samples(cut.perturb_speed(1.1))


# Phones


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(PHONES), max_size=20),
    st.lists(st.sampled_from(["", "0", "1", "2"]), min_size=20, max_size=20),
)
def test_written_phones_are_read_whatever_their_case_and_stress(phones: list[str], stresses: list[str]):
    written = "  sil ".join(phone.lower() + stress for phone, stress in zip(phones, stresses, strict=False))
    assert parse_phones(written) == phones


def test_ctc_needs_a_blank_between_equal_phones():
    assert frames_needed([]) == 0
    assert frames_needed(["T", "AH", "T"]) == 3
    assert frames_needed(["T", "T", "T"]) == 5


def test_flac_from_a_pipe_has_no_length_and_is_counted(tmp_path: Path, recordings: list[Path]) -> None:
    samples, rate = soundfile.read(recordings[0], dtype="float32")
    source = tmp_path / "source"
    source.mkdir()
    soundfile.write(source / "a.flac", samples, rate)
    flac = bytearray((source / "a.flac").read_bytes())
    flac[21] &= 0xF0  # the 36 bits of STREAMINFO that hold the number of samples: 0 is "unknown"
    flac[22:26] = bytes(4)
    (source / "a.flac").write_bytes(flac)
    (source / "a.txt").write_text("then dear said missus whitney", encoding="utf-8")
    prepare(source, tmp_path / "prepared")
    (cut,) = load_cuts(tmp_path / "prepared", "train")
    assert len(load_samples(cut)) == cut.num_samples == len(samples)
