"""Reads `timestamps.csv`: lines `name,seconds` that say when each picture of a folder was taken.

It is UTF-8, with a byte order mark or without, with any ends of lines. Empty lines, lines that begin with `#` and a
first line `name,seconds` are passed over. What cannot be believed is refused with the number of its line.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from stillwing_common.errors import InvalidInput
from stillwing_recording.files import open_file

TIMES_FILE = "timestamps.csv"
_TITLES = ["name", "seconds"]
_LATEST_S = 100 * 365 * 86400
"""As seconds since 1970, late in the year 2069: milliseconds and nanoseconds since then are far beyond it."""
_MOST_BYTES = 64 << 20


def read_times(table: Path, names: Sequence[str]) -> dict[str, int]:
    """Nanoseconds by name for each of `names`; other names in the table are passed over.

    `InvalidInput` for a line that cannot be read, a time that is none, a name that comes twice, and one without a time.
    """
    lines: dict[str, int] = {}
    times_ns: dict[str, int] = {}
    for line, row in _rows(table):
        if len(row) != 2:
            raise _wrong(table, line, f"want `name,seconds`, not {','.join(row)!r}")
        name = row[0].strip()
        if name in lines:
            raise _wrong(table, line, f"{name} has a time already, in line {lines[name]}")
        lines[name] = line
        times_ns[name] = _time_ns(table, line, row[1].strip())
    absent = [name for name in names if name not in times_ns]
    if absent:
        strange = next((name for name in lines if name not in set(names)), None)
        hint = "" if strange is None else f"; line {lines[strange]} names {strange!r}, which is not there"
        raise InvalidInput(f"{table} gives no time for {', '.join(absent[:3])}{hint}", path=table)
    return times_ns


def _rows(table: Path) -> Iterator[tuple[int, list[str]]]:
    with open_file(table) as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise InvalidInput(f"{table} is longer than {_MOST_BYTES >> 20} MiB", path=table)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _wrong(table, line, "this is no UTF-8; save the table as UTF-8") from error
    rows = csv.reader(io.StringIO(text, newline=None), strict=True)
    first = True
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise _wrong(table, rows.line_num, str(error)) from error
        if not row or row == [""] or row[0].lstrip().startswith("#"):
            continue
        if not (first and [each.strip().lower() for each in row] == _TITLES):
            yield rows.line_num, row
        first = False


def _time_ns(table: Path, line: int, text: str) -> int:
    try:
        # Exactly as it is written: seconds since 1970 with nine digits after the point do not fit into a float.
        seconds = Decimal(text)
    except InvalidOperation:
        raise _wrong(table, line, f"want seconds, not {text!r}") from None
    if not seconds.is_finite() or not 0 <= seconds < _LATEST_S:
        raise _wrong(table, line, f"want seconds of at least 0 and below {_LATEST_S}, not {text!r}")
    return round(seconds * 1_000_000_000)


def _wrong(table: Path, line: int, why: str) -> InvalidInput:
    return InvalidInput(f"{table}, line {line}: {why}", path=table)
