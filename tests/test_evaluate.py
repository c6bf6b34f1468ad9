"""Evaluation: counts are exact, a bad recording costs only itself, model files and runs are both heard."""

import json
import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
import torch
from model_fixture import shipped_model
from toy_model import toy_model

import phonestream
from phonestream.asr.corpora.corpus import load_cuts, load_samples, prepare, reference_phones
from phonestream.asr.evaluation.evaluate import Report, evaluate, format_report
from phonestream.asr.lexicon.phones import PHONES
from phonestream.asr.model.config import EncoderConfig
from phonestream.asr.model.encoder import Encoder
from phonestream.asr.model.offline import encoder_log_probs, greedy_phones
from phonestream.asr.training.checkpoint import Checkpoint, save_checkpoint
from phonestream.asr.training.config import TrainConfig
from phonestream.errors import AudioError, ConfigError, DataError, ModelError

SPEECH = Path(__file__).parent / "data" / "speech"


class Parrot:
    """A Recognizer that says a recording's reference with the first phone exchanged and the last left out."""

    phones = PHONES
    sha256 = "5" * 64
    said: ClassVar[dict[int, list[str]]] = {}

    def __init__(self, model: object, *, threads: int = 1, decoder: object = None) -> None:
        for split in ("dev", "test"):
            for cut in load_cuts(SPEECH, split):
                first, *rest = reference_phones(cut)
                self.said[cut.num_samples] = ["ZH" if first != "ZH" else "SH", *rest[:-1]]

    def transcribe(self, samples: np.ndarray, sample_rate: int) -> list[phonestream.Phone]:
        if len(samples) not in self.said:
            raise AudioError("samples that nobody can hear")
        return [phonestream.Phone(symbol, 0.0, 0.1, 1.0) for symbol in self.said[len(samples)]]


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phonestream.streaming.recognizer.Recognizer", Parrot)


@pytest.mark.usefixtures("parrot")
def test_errors_are_counted_over_all_recordings():
    report = evaluate("parrot", split="dev", data=SPEECH)
    errors = report.errors
    length = sum(len(reference_phones(cut)) for cut in load_cuts(SPEECH, "dev"))
    assert (errors.substitutions, errors.insertions, errors.deletions) == (4, 0, 4)
    assert errors.per == 8 / length
    assert len(report.by_speaker) == 4
    assert sum(group.reference_length for group in report.by_speaker.values()) == length
    assert list(report.by_corpus) == ["librispeech"]
    assert report.confusions.sum() == length
    assert [recording.id for recording in report.recordings] == [cut.id for cut in load_cuts(SPEECH, "dev")]
    assert report.decode_seconds > 0


@pytest.mark.usefixtures("parrot")
def test_the_report_for_a_person_names_what_matters():
    text = format_report(evaluate("parrot", split="dev", data=SPEECH))
    for part in (
        "parrot on dev",
        "4 recordings",
        "PER 2.86%: 1.43 substitutions, 0.00 insertions",
        "of real time",
    ):
        assert part in text
    assert "ls3570" in text  # a speaker: there are several
    assert "librispeech" not in text  # the only corpus
    assert "heard as ZH" in text


@pytest.mark.usefixtures("parrot")
def test_listing_json_and_confusions_say_the_same(tmp_path: Path):
    out = tmp_path / "new"
    report = evaluate(
        "parrot",
        split="test",
        data=SPEECH,
        listing=out / "l.tsv",
        json=out / "r.json",
        confusions=out / "c.tsv",
    )
    header, *lines = (out / "l.tsv").read_text("utf-8").splitlines()
    rows = [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]
    whole = json.loads((out / "r.json").read_text("utf-8"))
    assert whole["model_sha256"] == Parrot.sha256
    assert whole["per"] == report.errors.per
    for row, cut, entry in zip(rows, load_cuts(SPEECH, "test"), whole["recordings"], strict=True):
        assert row["id"] == cut.id == entry["id"]
        above, below = row["reference"].split(), row["hypothesis"].split()
        assert len(above) == len(below)
        assert len(row["reference"]) == len(row["hypothesis"])
        assert [phone for phone in above if phone != "-"] == reference_phones(cut) == entry["reference"]
        assert (
            [phone for phone in below if phone != "-"] == Parrot.said[cut.num_samples] == entry["hypothesis"]
        )
        assert (
            int(row["substitutions"])
            == sum(a != b and b != "-" for a, b in zip(above, below, strict=True))
            == 1
        )
    table = [line.split("\t") for line in (out / "c.tsv").read_text("utf-8").splitlines()]
    assert table[0][1:] == [row[0] for row in table[1:]] == [*PHONES, "-"]
    assert [list(map(int, row[1:])) for row in table[1:]] == report.confusions.tolist()


@pytest.mark.usefixtures("parrot")
def test_a_limit_takes_recordings_from_all_over_the_split():
    ids = [cut.id for cut in load_cuts(SPEECH, "dev")]
    assert [recording.id for recording in evaluate("parrot", data=SPEECH, limit=2).recordings] == [
        ids[0],
        ids[2],
    ]
    assert len(evaluate("parrot", data=SPEECH, limit=99).recordings) == 4
    with pytest.raises(ConfigError, match="limit is 0"):
        evaluate("parrot", data=SPEECH, limit=0)


@pytest.mark.usefixtures("parrot")
def test_a_bad_recording_costs_only_itself(tmp_path: Path):
    corpus = shutil.copytree(SPEECH, tmp_path / "speech")
    prepare(corpus, tmp_path / "cuts")
    ids = [cut.id for cut in load_cuts(tmp_path / "cuts", "dev")]
    (corpus / "dev" / f"{ids[0]}.opus").unlink()
    (corpus / "dev" / f"{ids[1]}.opus").write_bytes(b"OggS, but no more than that")
    seen: list[tuple[int, int]] = []
    report = evaluate(
        "parrot", data=tmp_path / "cuts", progress=lambda done, total: seen.append((done, total))
    )
    assert [recording.id for recording in report.recordings] == ids[2:]
    assert [problem.where for problem in report.problems] == ids[:2]
    assert "no such file" in report.problems[0].reason
    assert "not scored: 2 recordings" in format_report(report)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [p.where.endswith(".tsv:2") for p in evaluate("parrot", data=corpus).problems] == [True, False]

    with pytest.raises(DataError, match=r"nothing in dev .* can be scored"):
        evaluate("parrot", data=tmp_path / "cuts", limit=1)


@pytest.mark.usefixtures("parrot")
def test_samples_that_the_recognizer_refuses_are_reported(tmp_path: Path):
    for name, source in (("a", next((SPEECH / "dev").iterdir())), ("b", None)):
        samples = soundfile.read(source, dtype="int16")[0] if source else np.zeros(16000, np.int16)
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000)
        (tmp_path / f"{name}.txt").write_text("yes")
    prepare(tmp_path, tmp_path / "cuts", split="dev")
    report = evaluate("parrot", data=tmp_path / "cuts")
    assert [(problem.where, problem.reason) for problem in report.problems] == [
        ("b", "samples that nobody can hear")
    ]
    assert [recording.id for recording in report.recordings] == ["a"]


def test_the_split_and_the_data_must_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    model = shipped_model()
    with pytest.raises(DataError, match="no split 'tset': it has dev, test"):
        evaluate(model, split="tset", data=SPEECH)
    monkeypatch.delenv("PHONESTREAM_SPEECH", raising=False)
    with pytest.raises(DataError, match="PHONESTREAM_SPEECH is not set"):
        evaluate(model)
    monkeypatch.setenv("PHONESTREAM_SPEECH", str(SPEECH))
    assert len(evaluate(model, limit=1).recordings) == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        evaluate(model, limit=1, listing=tmp_path / "file" / "listing.tsv")


def test_a_model_that_cannot_be_scored_is_refused(tmp_path: Path):
    with pytest.raises(ModelError):
        evaluate(tmp_path / "none.onnx", data=SPEECH)
    with pytest.raises(ModelError, match="its phones are not the 39 of the references"):
        evaluate(toy_model(tmp_path / "toy.onnx"), data=SPEECH)
    with pytest.raises(ConfigError, match="phonestream train"):
        evaluate(tmp_path, data=SPEECH)


def test_a_model_file_is_heard_as_a_stream_hears_it():
    report = evaluate(shipped_model(), split="test", data=SPEECH)
    recognizer = phonestream.Recognizer(shipped_model())
    for recording, cut in zip(report.recordings, load_cuts(SPEECH, "test"), strict=True):
        heard = [edit.hypothesis for edit in recording.alignment if edit.hypothesis]
        assert heard == [phone.symbol for phone in recognizer.transcribe(load_samples(cut))]
    assert report.problems == ()
    assert report.real_time_factor == report.decode_seconds / report.seconds > 0


def saved_run(run: Path) -> Encoder:
    """A run folder with the latest weights of one encoder and the averaged ones of another, returned."""
    config = TrainConfig(model=EncoderConfig(subsampling_width=8, width=16, layers=1, heads=2, head_width=8))
    torch.manual_seed(1)
    latest, averaged = Encoder(config.model), Encoder(config.model)
    run.mkdir()
    save_checkpoint(run, Checkpoint(1, config, "data", latest.state_dict(), averaged.state_dict(), []))
    return averaged.eval()


def test_a_run_is_evaluated_with_its_averaged_weights(tmp_path: Path):
    encoder = saved_run(tmp_path / "run")
    report: Report = evaluate(tmp_path / "run", split="dev", data=SPEECH)
    expected = encoder_log_probs(encoder, [load_samples(cut) for cut in load_cuts(SPEECH, "dev")])
    heard = [
        [edit.hypothesis for edit in recording.alignment if edit.hypothesis]
        for recording in report.recordings
    ]
    assert heard == [greedy_phones(rows) for rows in expected]
    assert any(heard)


def test_a_bad_recording_costs_a_run_only_itself(tmp_path: Path):
    saved_run(tmp_path / "run")
    corpus = shutil.copytree(SPEECH, tmp_path / "speech")
    prepare(corpus, tmp_path / "cuts")
    next((corpus / "test").iterdir()).unlink()
    report = evaluate(tmp_path / "run", split="test", data=tmp_path / "cuts")
    assert len(report.recordings) == len(report.problems) == 1
