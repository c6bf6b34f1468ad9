"""The example that draws a mouth makes a page that is whole."""

import base64
import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parent.parent


def mouth(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "examples" / "mouth.py", *arguments], text=True, capture_output=True
    )


def test_the_page_holds_the_recording_and_shapes_from_its_beginning_to_its_end(
    recordings: list[Path], tmp_path: Path
) -> None:
    result = mouth(recordings[0], tmp_path / "page.html")
    assert (result.returncode, result.stderr) == (0, "")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    audio = re.search(r'src="data:[\w/+-]+;base64,([^"]+)"', page)
    data = re.search(r"^const \{ shapes, track \} = (.*);$", page, re.MULTILINE)
    assert audio is not None
    assert data is not None
    assert base64.b64decode(audio[1]) == recordings[0].read_bytes()
    shapes, track = json.loads(data[1]).values()
    assert {name for _, _, name in track} <= set(shapes)
    assert track[0][0] == 0
    assert all(before[1] == after[0] for before, after in pairwise(track))
    assert result.stdout.endswith(f": {len(track)} shapes in {track[-1][1]:.2f} s\n")


def test_what_cannot_be_read_is_said_in_a_line(tmp_path: Path) -> None:
    result = mouth(tmp_path / "missing.wav", tmp_path / "page.html")
    assert result.returncode == 1
    assert result.stderr == f"mouth.py: {tmp_path / 'missing.wav'}: no such file; check the name\n"
