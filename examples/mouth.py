"""A drawn mouth that says what a recording says: lip-sync from visemes, as a web page that plays by itself.

    python examples/mouth.py tests/data/speech/test/1284-1180-0000.opus mouth.html

The page holds the recording, a mouth that moves with it, and the ten shapes of Preston Blair from which an animator
draws. The shapes and their times are those of `phonestream transcribe --format csv --visemes preston-blair`.
"""

import argparse
import base64
import json
import mimetypes
import sys
from pathlib import Path
from typing import NamedTuple

import phonestream
from phonestream.formats.document import Interval
from phonestream.formats.tiling import tile
from phonestream.formats.visemes import to_visemes
from phonestream.streaming.audio.files import AudioFile


class Mouth(NamedTuple):
    """A mouth shape, in units of a drawing 200 wide."""

    half_width: float
    opening: float  # between the lips, in their middle
    teeth: float = 0  # how far the upper ones show
    tongue: float = 0  # how high it stands
    bite: float = 0  # 1 where the lower lip is under the upper teeth


PAGE = Path(__file__).with_name("mouth.html")  # where DATA and AUDIO are to be filled in

SHAPES = {
    "rest": Mouth(52, 0),
    "MBP": Mouth(46, 0),
    "AI": Mouth(56, 62, teeth=11, tongue=16),
    "E": Mouth(66, 34, teeth=11, tongue=12),
    "O": Mouth(34, 58, tongue=8),
    "U": Mouth(24, 30),
    "WQ": Mouth(18, 16),
    "FV": Mouth(52, 14, teeth=11, bite=1),
    "L": Mouth(54, 42, teeth=10, tongue=34),
    "etc": Mouth(58, 20, teeth=12),
}


def shapes_of(file: str) -> list[Interval]:
    """Mouth shapes from 0 to the end of `file`, decoded block by block."""
    stream = phonestream.Recognizer().stream()
    with AudioFile(file) as audio:
        phones = [phone for block in audio.blocks() for phone in stream.accept(block, audio.sample_rate)]
    phones += stream.finish()
    return to_visemes(tile(phones, stream.seconds), "preston-blair")


def page(file: str, shapes: list[Interval]) -> str:
    """The web page, in which the recording itself is too."""
    kind = mimetypes.guess_type(file)[0] or "audio/ogg"
    audio = f"data:{kind};base64,{base64.b64encode(Path(file).read_bytes()).decode()}"
    data = {
        "shapes": {name: shape._asdict() for name, shape in SHAPES.items()},
        "track": [(round(shape.start, 3), round(shape.end, 3), shape.symbol) for shape in shapes],
    }
    # The recording last: its base64 may hold the letters of the other placeholder.
    return PAGE.read_text(encoding="utf-8").replace("DATA", json.dumps(data)).replace("AUDIO", audio)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", help="an audio file that web browsers play")
    parser.add_argument("page", help="the HTML file to write")
    options = parser.parse_args()
    try:
        shapes = shapes_of(options.recording)
        Path(options.page).write_text(page(options.recording, shapes), encoding="utf-8")
    except (phonestream.PhonestreamError, OSError) as error:
        sys.exit(f"mouth.py: {error}")
    print(f"{options.page}: {len(shapes)} shapes in {shapes[-1].end:.2f} s")


if __name__ == "__main__":
    main()
