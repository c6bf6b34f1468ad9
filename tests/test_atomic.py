"""Files that take their name when they are whole, whatever that name is: a link, a pipe, one's own output."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from phonestream.asr.evaluation.report import check_output, write_output
from phonestream.atomic import replacing, write_atomically, write_together


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """To `elsewhere/target`, which is there."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "target").write_text("old")
    link = tmp_path / "link"
    link.symlink_to(Path("elsewhere") / "target")
    return link


def test_a_link_stays_and_what_it_leads_to_is_replaced(link: Path) -> None:
    target = link.resolve()
    for number in range(4):
        new = str(number).encode()
        if number == 0:
            write_atomically(link, new)
        elif number == 1:
            write_together({link: new})
        elif number == 2:
            write_output(link, new.decode())
        else:
            with replacing(link) as partial:
                partial.write_bytes(new)
        assert link.is_symlink()
        assert target.read_bytes() == new
        assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_a_link_to_a_report_that_is_not_there_yet_outlives_the_check(link: Path) -> None:
    link.resolve().unlink()
    check_output(link)
    assert link.is_symlink()
    assert not link.exists()
    write_output(link, "new")
    assert link.resolve().read_text() == "new"
    assert link.is_symlink()


def test_a_name_of_one_s_own_output_is_written_to_and_stays(tmp_path: Path) -> None:
    """Like /dev/stdout where that was redirected to a file."""
    name = tmp_path / "stdout"
    name.symlink_to("/proc/self/fd/1")
    code = (
        "import sys; from pathlib import Path; from phonestream.atomic import write_output; "
        "write_output(Path(sys.argv[1]), b'new')"
    )
    with (tmp_path / "redirected").open("wb") as file:
        subprocess.run([sys.executable, "-c", code, name], stdout=file, check=True)
        written = os.fstat(file.fileno())
    assert os.path.samestat(written, (tmp_path / "redirected").stat())
    assert (tmp_path / "redirected").read_bytes() == b"new"
    assert os.readlink(name) == "/proc/self/fd/1"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_output(pipe, "new")
    reader.join()
    assert read == [b"new"]
    assert pipe.is_fifo()


def test_of_several_files_none_is_written_and_no_folder_left_where_one_cannot_be(tmp_path: Path) -> None:
    for impossible in (tmp_path / "b" / ("x" * 300) / "c", tmp_path / "b" / ("x" * 250), tmp_path / "b\0"):
        with pytest.raises((OSError, ValueError)):
            write_together({tmp_path / "new" / "a": b"a", impossible: b"b"})
        assert [*tmp_path.iterdir()] == []
