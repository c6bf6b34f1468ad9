"""The shipped recordings laid out as other corpora are: LibriSpeech, WSJ."""

import shutil
from pathlib import Path

import soundfile

SPEECH = Path(__file__).parents[1] / "data" / "speech"
ROWS = [line.split("\t") for line in (SPEECH / "manifest.tsv").read_text("utf-8").splitlines()]
AUDIO, TEXT, PHONES_COLUMN = (ROWS[0].index(name) for name in ("path", "text", "phones"))

# Disc, path of an utterance, index that lists it and with what disc and suffix, folder of its .dot file
UTTERANCES = (
    ("11-1.1", "wsj0/si_tr_s/011/011c0201", "11-13.1/wsj0/doc/indices/train/tr_s_wv1.ndx", "11_1_1:", ".wv1"),
    ("13-1.1", "wsj1/si_tr_s/46b/46bc0202", "13-34.1/wsj1/doc/indices/si_tr_s.ndx", "13_1_1: ", ".wv1"),
    ("13-16.1", "wsj1/si_dt_20/4k0/4k0c0301", "13-34.1/wsj1/doc/indices/h1_p0.ndx", "13_16_1: ", ".wv1"),
    (
        "11-14.1",
        "wsj0/si_et_20/440/440c0401",
        "11-13.1/wsj0/doc/indices/test/nvp/si_et_20.ndx",
        "11_14_1:/",
        "",
    ),
)
DOTS = {"wsj0": "11-4.1/wsj0/transcrp/dots", "wsj1": "13-34.1/wsj1/trans"}


def recording(number: int = 1) -> Path:
    """Audio of a row of the tests' manifest."""
    return SPEECH / ROWS[number][AUDIO]


def place(path: Path, number: int = 1) -> Path:
    """A copy of a recording at `path`, in the format that its suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".opus":
        shutil.copy(recording(number), path)
    else:
        samples, rate = soundfile.read(recording(number), dtype="int16")
        soundfile.write(path, samples, rate)
    return path


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def librispeech(root: Path) -> Path:
    """Four recordings as LibriSpeech unpacks: one to train on, one of dev, two of test."""
    for part, number in (("train-clean-5", 1), ("dev-clean-2", 2), ("test-clean", 5), ("test-other", 6)):
        identifier = ROWS[number][0]
        speaker, chapter, _ = identifier.split("-")
        folder = root / part / speaker / chapter
        place(folder / f"{identifier}.flac", number)
        write(folder / f"{speaker}-{chapter}.trans.txt", f"{identifier} {ROWS[number][TEXT].upper()}\n")
    return root


def wsj(root: Path, upper: bool = False, discs: tuple[str, ...] = ("11", "13")) -> Path:
    """One recording in each set, and one of speaker 401, who is listed in si84 and not of it."""

    def path(name: str) -> Path:
        whole = root / (name.upper() if upper else name)
        whole.parent.mkdir(parents=True, exist_ok=True)
        return whole

    for number, (disc, name, index, prefix, suffix) in enumerate(UTTERANCES, start=1):
        if not disc.startswith(discs):
            continue
        samples, rate = soundfile.read(SPEECH / ROWS[number][AUDIO], dtype="int16")
        soundfile.write(path(f"{disc}/{name}.wv1"), samples, rate, format="NIST", subtype="PCM_16")
        with path(index).open("a") as file:
            file.write(f";; a comment: {index}\n{prefix}{name}{suffix}\n")
        corpus, part, speaker, utterance = name.split("/")
        with path(f"{DOTS[corpus]}/{part}/{speaker}/{utterance[:-2]}00.dot").open("a") as file:
            file.write(f"[loud_breath] {ROWS[number][TEXT].upper()} . ({utterance})\n")
    if "11" in discs:
        with path("11-13.1/wsj0/doc/indices/train/tr_s_wv1.ndx").open("a") as file:
            file.write("11_3_1:wsj0/si_tr_s/401/401c0201.wv1\n")
    return root
