"""A report's page: it says what the evaluation found, plays what is to be heard, and asks nothing of other hosts."""

import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from full_disk import contents, files_of_at_most
from hypothesis import given
from hypothesis import strategies as st
from model_fixture import shipped_model
from playwright.sync_api import sync_playwright

import phonestream
from phonestream.asr.corpora.corpus import Problem, load_cuts, load_samples, prepare
from phonestream.asr.evaluation.evaluate import evaluate
from phonestream.asr.evaluation.pocketsphinx_alignment import (
    forced_alignment,
    match_phones,
    pocketsphinx_aligner,
)
from phonestream.asr.evaluation.reliability import BINS, Judged, judge, reliability
from phonestream.asr.evaluation.report import RecordingScore, Report
from phonestream.asr.evaluation.report_latency import measure_latency, stream_chunks
from phonestream.asr.evaluation.report_page import page
from phonestream.asr.evaluation.report_pictures import ORDER, _ticks, histogram
from phonestream.asr.evaluation.score import align
from phonestream.asr.lexicon.phones import PHONES
from phonestream.asr.model.config import EncoderConfig
from phonestream.asr.model.encoder import Encoder
from phonestream.asr.training.checkpoint import Checkpoint, save_checkpoint
from phonestream.asr.training.config import TrainConfig
from phonestream.errors import DataError
from phonestream.streaming.decode import Phone
from phonestream.streaming.tiling import CERTAIN

SPEECH = Path(__file__).parent / "data" / "speech"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Elements(HTMLParser):
    """Whether every element is closed, and what the page asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.links += [value for key in ("src", "href") if (value := values.get(key))]
        if values.get("id"):
            self.ids.add(str(values["id"]))
        if tag not in ("meta", "link"):
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    folder = tmp_path_factory.mktemp("report") / "new"
    return folder, evaluate(shipped_model(), split="dev", data=SPEECH, page=folder)


def test_the_page_says_what_the_evaluation_found(written: tuple[Path, Report]):
    folder, report = written
    text = (folder / "index.html").read_text("utf-8")
    elements = Elements(text)
    assert elements.stack == []
    assert f"<b>{report.errors.per:.2%}</b>phone error rate" in text
    for recording in report.recordings:
        assert text.count(f"<h3>{recording.id}</h3>") == 1
    spoken = re.findall(r"<span[^>]*><b>(\S+?)</b>(\S+?)</span>", text)
    worst = sorted(report.recordings, key=lambda recording: -recording.errors.per)
    assert spoken == [(e.reference or "-", e.hypothesis or "-") for r in worst for e in r.alignment]
    for link in elements.links:
        assert link.startswith(("#", "audio/", "data:,"))
        assert not link.startswith("#") or link[1:] in elements.ids
    for part in (
        "look-ahead",
        "emission delay, median",
        "Expected calibration error",
        "said \N{DOWNWARDS ARROW}",
    ):
        assert part in text


def test_the_recordings_beside_it_are_those_that_were_heard(written: tuple[Path, Report]):
    folder, report = written
    worst = sorted(report.recordings, key=lambda recording: -recording.errors.per)
    names = re.findall(r'<audio [^>]*src="(audio/[^"]+)"', (folder / "index.html").read_text("utf-8"))
    for name, recording in zip(names, worst, strict=True):
        assert (folder / name).read_bytes() == (SPEECH / "dev" / f"{recording.id}.opus").read_bytes()


def test_a_browser_shows_it_at_any_width_and_plays_it(written: tuple[Path, Report]):
    folder, _ = written
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width, scheme in ((360, "dark"), (1200, "light")):
            view = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            asked: list[str] = []
            complaints: list[str] = []
            view.on("request", lambda request, asked=asked: asked.append(request.url))
            view.on("console", lambda message, complaints=complaints: complaints.append(message.text))
            view.goto((folder / "index.html").as_uri())
            assert view.evaluate("document.documentElement.scrollWidth") <= width
            seconds = view.evaluate(
                """() => new Promise((resolve, reject) => { const audio = document.querySelector("audio");
                audio.onloadedmetadata = () => resolve(audio.duration); audio.onerror = reject; audio.load(); })"""
            )
            assert seconds > 5
            assert complaints == []
            assert all(url.startswith(folder.as_uri()) for url in asked)
            view.close()
        browser.close()


def test_names_from_the_data_are_text_and_nothing_else():
    nasty = '<script>alert(1)</script>&"'
    alignment = tuple(align(["AH", "T"], ["AH"]))
    scores = [
        RecordingScore(nasty, nasty, f"{nasty}{n}", 1.0, alignment, (Phone("AH", 0, 0.1, 0.5),))
        for n in (1, 2)
    ]
    report = Report(nasty, nasty, nasty, tuple(scores), (Problem(nasty, nasty),), 1.0, 1)
    text = page(report, None, [])
    assert Elements(text).stack == []
    assert "<script" not in text
    assert "Not measured: a training run" in text


def test_a_page_of_a_run_has_what_a_run_can_say(tmp_path: Path):
    config = TrainConfig(model=EncoderConfig(subsampling_width=8, width=16, layers=1, heads=2, head_width=8))
    torch.manual_seed(1)
    weights = Encoder(config.model).state_dict()
    (tmp_path / "run").mkdir()
    save_checkpoint(tmp_path / "run", Checkpoint(1, config, "data", weights, weights, []))
    evaluate(tmp_path / "run", split="test", data=SPEECH, page=tmp_path / "page")
    text = (tmp_path / "page" / "index.html").read_text("utf-8")
    assert "Not measured: a training run" in text
    assert "no temperature fitted" in text


def test_what_browsers_do_not_play_becomes_wav_and_what_cannot_be_aligned_is_said(tmp_path: Path):
    samples, rate = soundfile.read(next((SPEECH / "test").iterdir()), dtype="int16")
    soundfile.write(tmp_path / "a.au", samples, rate, format="AU", subtype="PCM_16")
    (tmp_path / "a.txt").write_text("yes")
    cuts = tmp_path / "cuts"
    prepare(tmp_path, cuts, split="dev")
    [cut] = load_cuts(cuts, "dev")
    evaluate(shipped_model(), data=cuts, page=tmp_path / "page")
    assert np.array_equal(soundfile.read(tmp_path / "page" / "audio" / "01.wav", dtype="int16")[0], samples)
    cut.supervisions[0].text = "zzyzzx qqx"
    latency = measure_latency(phonestream.Recognizer(shipped_model()), [cut])
    assert "aligned none" in latency.remark
    assert len(latency.compute_seconds) == len(samples) // 640


def test_a_full_disk_leaves_no_page_and_no_report_or_those_from_before(tmp_path: Path):
    (tmp_path / "old.json").write_text("old")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "index.html").write_text("old")
    before = contents(tmp_path)
    for outputs in ({"page": tmp_path / "old"}, {"page": tmp_path / "new"}):
        with (
            files_of_at_most(30_000),
            pytest.raises(DataError, match="cannot be written: File too large; make room"),
        ):
            evaluate(shipped_model(), split="dev", data=SPEECH, limit=2, **outputs)
    for name in ("old.json", "new.json"):
        with (
            files_of_at_most(1000),
            pytest.raises(DataError, match="cannot be written: File too large; make room"),
        ):
            evaluate(shipped_model(), split="dev", data=SPEECH, limit=2, json=tmp_path / name)
    assert contents(tmp_path) == before


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_heard(tmp_path: Path):
    (tmp_path / "file").write_text("")
    heard: list[int] = []
    with pytest.raises(DataError, match="cannot be written"):
        evaluate(
            shipped_model(),
            data=SPEECH,
            page=tmp_path / "file" / "page",
            progress=lambda done, _: heard.append(done),
        )
    assert heard == []


def test_phones_come_no_sooner_than_they_can_and_no_later_than_they_must():
    recognizer = phonestream.Recognizer(shipped_model(), decoder="greedy")
    meta = recognizer.metadata
    look_ahead = meta.look_ahead_frames * meta.frame_samples / meta.sample_rate
    cut = next(iter(load_cuts(SPEECH, "test")))
    heard, times = stream_chunks(recognizer, load_samples(cut), 16_000)
    whole = recognizer.transcribe(load_samples(cut))
    assert [phone[:3] for phone, _ in heard] == [phone[:3] for phone in whole]
    assert len(times) == cut.num_samples // 640
    for (
        phone,
        moment,
    ) in heard:  # with a row after its last, and no later than another would be behind a silence
        wait = moment - (phone.peak + meta.time_offset_seconds + look_ahead)
        assert meta.row_seconds / 2 < wait <= CERTAIN + 0.08 + 1e-6 or moment >= cut.duration


def test_a_foreign_alignment_lies_within_the_recording_and_in_order():
    cut = next(iter(load_cuts(SPEECH, "test")))
    decoder = pocketsphinx_aligner()
    found = forced_alignment(decoder, cut.supervisions[0].text, load_samples(cut))
    assert {phone.symbol for phone in found} <= set(PHONES)
    assert all(0 <= phone.start < phone.end <= cut.duration + 0.05 for phone in found)
    assert all(one.end <= other.start + 1e-9 for one, other in pairwise(found))
    heard = phonestream.Recognizer(shipped_model()).transcribe(load_samples(cut))
    pairs = list(match_phones(found, heard))
    assert len(pairs) > len(found) / 2
    assert all(said.symbol == phone.symbol for said, phone in pairs)
    assert forced_alignment(decoder, "zzyzzx", load_samples(cut)) == []
    assert forced_alignment(decoder, "", load_samples(cut)) == []


confidences = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=200)


@given(confidences, st.integers(1, 20), st.sampled_from(["mass", "width"]))
def test_every_phone_is_in_one_bin(pairs: list[tuple[float, bool]], bins: int, binning: str):
    judged = Judged(np.array([c for c, _ in pairs]), np.array([r for _, r in pairs]))
    found = reliability(judged, bins=bins, binning=binning)
    assert sum(entry.phones for entry in found.bins) == found.phones == len(pairs)
    assert abs(sum(entry.phones * entry.right for entry in found.bins) - judged.right.sum()) < 1e-6
    assert all(entry.low - 1e-9 <= entry.confidence <= entry.high + 1e-9 for entry in found.bins)
    assert 0 <= found.error <= 1
    assert found.error >= abs(found.confidence - found.right) - 1e-9  # which is the error of one bin
    order = np.random.default_rng(1).permutation(len(pairs))
    shuffled = reliability(Judged(judged.confidence[order], judged.right[order]), bins=bins, binning=binning)
    assert abs(shuffled.error - found.error) < 1e-9


def test_the_calibration_error_is_that_of_the_paper():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0, 1, 200_000)
    honest = Judged(confidence, rng.uniform(0, 1, len(confidence)) < confidence)
    assert reliability(honest).error < 0.01
    boastful = Judged(np.full(1000, 0.9), np.arange(1000) % 2 == 0)
    for binning in ("mass", "width"):
        assert reliability(boastful, binning=binning).error == pytest.approx(0.4)
    assert reliability(Judged(np.empty(0), np.empty(0, bool))).phones == 0
    assert len(reliability(honest).bins) == BINS


def test_a_phone_is_right_where_the_alignment_says_so():
    phones = [Phone(symbol, 0, 1, confidence) for symbol, confidence in (("B", 0.1), ("C", 0.2), ("D", 0.3))]
    judged = judge([(align(["A", "B", "D"], ["B", "C", "D"]), phones)])
    assert judged.confidence.tolist() == [0.1, 0.2, 0.3]
    assert judged.right.tolist() == [True, False, True]
    with pytest.raises(ValueError, match="alignment has"):
        judge([(align(["A"], ["A"]), phones[:1])])


def test_the_matrix_shows_every_phone_once():
    assert sorted(ORDER) == sorted(PHONES)


@given(st.floats(-1000, 1000), st.floats(0.001, 10_000))
def test_ticks_are_few_and_inside(low: float, span: float):
    ticks = _ticks(low, low + span)
    assert 2 <= len(ticks) <= 8
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in ticks)


def test_values_beyond_a_histogram_are_in_its_outermost_bars():
    picture = histogram(np.array([-1000.0, 5.0, 5.0, 1000.0]), np.arange(0, 31, 10.0), "title", "ms")
    assert re.findall(r"<title>(.*?)</title>", picture) == ["0 to 10 ms: 3", "20 to 30 ms: 1"]
