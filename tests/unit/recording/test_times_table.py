"""python -m pytest tests/unit/recording/test_times_table.py

`timestamps.csv` as spreadsheets, cameras and people write it: believed, or refused with the number of the line.
"""

import math
import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording_values import jpeg

from stillwing_common.errors import InvalidInput
from stillwing_recording.opening import open_recording
from stillwing_recording.times_table import read_times

NAMES = ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    "table",
    [
        b"a.jpg,0.5\nb.jpg,2\n",
        b"b.jpg,2\na.jpg,0.5",
        b"\xef\xbb\xbfa.jpg,0.5\r\nb.jpg,2\r\n",
        b"a.jpg,0.5\rb.jpg,2\r",
        b"name,seconds\na.jpg,0.5\n\n# of the second flight\nb.jpg,2e0\n",
        b'\xef\xbb\xbfName, Seconds\n"a.jpg", 0.5 \n "b.jpg",+2.\n'.replace(b' "b.jpg"', b'"b.jpg"'),
        b"a.jpg,0.5\ngone.jpg,1\nb.jpg,2",
    ],
)
def test_what_is_taken(tmp_path: Path, table: bytes) -> None:
    (tmp_path / "timestamps.csv").write_bytes(table)
    times = read_times(tmp_path / "timestamps.csv", NAMES)
    assert [times[name] for name in NAMES] == [500_000_000, 2_000_000_000]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (b"a.jpg,0\nb.jpg,inf", "line 2: want seconds of at least 0"),
        (b"a.jpg,0\nb.jpg,-Infinity", "line 2: want seconds"),
        (b"a.jpg,nan\nb.jpg,1", "line 1: want seconds"),
        (b"a.jpg,sNaN\nb.jpg,1", "line 1: want seconds"),
        (b"a.jpg,0\n\n\nb.jpg,1e300", "line 4: want seconds"),
        (b"a.jpg,0\nb.jpg,1e999999999999", "line 2: want seconds"),
        (b"a.jpg,-0.5\nb.jpg,1", "line 1: want seconds"),
        (b"a.jpg,0\nb.jpg,1700000000000", "line 2: want seconds"),
        (b"a.jpg,0\nb.jpg,", "line 2: want seconds, not ''"),
        (b"a.jpg,0\nb.jpg,12:30:00", "line 2: want seconds"),
        (b"a.jpg,0\nb.jpg,soon", "line 2: want seconds, not 'soon'"),
        (b"a.jpg,0\nb.jpg,1\na.jpg,2", "line 3: a.jpg has a time already, in line 1"),
        (b"a.jpg,0\nb.jpg,1\na.jpg,0", "line 3: a.jpg has a time already"),
        (b"a.jpg,0\n", "gives no time for b.jpg"),
        (b"", "gives no time for a.jpg, b.jpg"),
        (b"a.jpg;0\nb.jpg;1", "line 1: want `name,seconds`, not 'a.jpg;0'"),
        (b"a.jpg\t0\nb.jpg\t1", "line 1: want `name,seconds`"),
        (b"a.jpg 0\nb.jpg 1", "line 1: want `name,seconds`"),
        (b"a.jpg;0,5\nb.jpg;1,5", "no time for a.jpg, b.jpg; line 1 names 'a.jpg;0', which is not there"),
        (b"a.jpg,0,5\nb.jpg,1,5", "line 1: want `name,seconds`, not 'a.jpg,0,5'"),
        (b"A.JPG,0\nb.jpg,1", "line 1 names 'A.JPG', which is not there"),
        (b"./a.jpg,0\nb.jpg,1", "line 1 names './a.jpg'"),
        ("a.jpg,0\nb.jpg,1".encode("utf-16"), "line 1: this is no UTF-8"),
        (b"a.jpg,0\nb\xff.jpg,1", "line 2: this is no UTF-8"),
        (b'a.jpg,0\n"b.jpg,1', "line 2: "),
        (b"a.jpg,0\nb.jpg,\x001", "line 2: "),
        (b"x" * 200_000 + b",0\nb.jpg,1", "line 1: "),
        (b"file,time\na.jpg,0\nb.jpg,1", "line 1: want seconds, not 'time'"),
    ],
)
def test_what_is_refused_says_which_line(tmp_path: Path, table: bytes, said: str) -> None:
    path = tmp_path / "timestamps.csv"
    path.write_bytes(table)
    with pytest.raises(InvalidInput, match=re.escape(said)) as caught:
        read_times(path, NAMES)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nanoseconds_since_1970_are_kept(tmp_path: Path) -> None:
    (tmp_path / "timestamps.csv").write_text("a.jpg,1700000000.123456789\nb.jpg,1700000000.123456790\n")
    times = read_times(tmp_path / "timestamps.csv", NAMES)
    assert list(times.values()) == [1700000000123456789, 1700000000123456790]


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes as POSIX has them")
@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling"])
def test_a_table_that_is_no_file(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    table = tmp_path / "timestamps.csv"
    match kind:
        case "folder":
            table.mkdir()
        case "pipe":
            os.mkfifo(table)
        case "dangling":
            table.symlink_to(tmp_path / "gone.csv")
    with pytest.raises(InvalidInput, match=r"timestamps\.csv is no file"):
        open_recording(tmp_path)


@given(
    st.one_of(
        st.binary(max_size=80),
        st.lists(
            st.tuples(st.sampled_from([*NAMES, "", "#", "c", '"']), st.floats().map(repr) | st.text(max_size=6)),
            max_size=4,
        ).map(lambda rows: "\n".join(map(",".join, rows)).encode("utf-8", "surrogatepass")),
    )
)
def test_any_table_gives_times_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, table: bytes) -> None:
    path = tmp_path_factory.mktemp("table") / "timestamps.csv"
    path.write_bytes(table)
    try:
        times = read_times(path, NAMES)
    except InvalidInput:
        return
    assert set(NAMES) <= set(times)
    assert all(time_ns >= 0 and math.isfinite(time_ns) for time_ns in times.values())
