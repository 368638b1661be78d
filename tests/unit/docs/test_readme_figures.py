"""python -m pytest tests/unit/docs/test_readme_figures.py -v

Every figure of the README's tables, and of sentences that name a file of results, is in that file, which says with what
commit, command and hardware it was measured, and from which seed where scenes were flown.

A table's figures are looked for in the file that the next "Source:" below it names; those of a row, where the file has
an entry of that name, in that entry alone, and those of a column in what is called like the column.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")

_LINK = re.compile(r"\((results/[\w./-]+\.json)\)")
_NUMBER = re.compile(r"(?<!O\()(?<![\w.])(\d[\d,]*(?:\.\d+)?)(?![\w.]*\.\w)\s*(%|–|\))?")
_NOT_SUMS = ("episodes", "failed_seeds")


@dataclass(frozen=True)
class Figure:
    """One number of the README, with where it stands."""

    text: str
    percent: bool
    file: str
    row: str = ""
    column: str = ""

    @property
    def value(self) -> float:
        return float(self.text.replace(",", ""))

    @property
    def slack(self) -> float:
        return 0.5 * 10 ** -len(self.text.partition(".")[2]) + 1e-9


def plain(cell: str) -> str:
    """Without marks; a name in code stays where it is all there is."""
    alone = re.fullmatch(r"\s*`([^`]*)`\s*", cell)
    return alone[1] if alone else re.sub(r"`[^`]*`|\*", "", cell).strip()


def numbers(text: str) -> Iterator[tuple[str, bool]]:
    """Each number, and whether it is a share: followed by %, or in the brackets of one that is."""
    for match in _NUMBER.finditer(text):
        before = text[: match.start()]
        in_brackets = before.rfind("(") > before.rfind(")")
        yield match[1], match[2] == "%" or (in_brackets and "%" in text)


def tables() -> Iterator[tuple[list[list[str]], str]]:
    """Tables of the README that hold numbers, as cells, and the file of the next source below each."""
    lines = README.splitlines()
    at = 0
    while at < len(lines):
        if not lines[at].startswith("|"):
            at += 1
            continue
        begin = at
        while at < len(lines) and lines[at].startswith("|"):
            at += 1
        cells = [[plain(cell) for cell in line.strip("|").split("|")] for line in lines[begin:at]]
        if not any(_NUMBER.search(cell) for row in cells[2:] for cell in row[1:]):
            continue
        after = next((line for line in lines[at:] if line.startswith(("|", "## ", "Source:"))), "")
        link = _LINK.search(after)
        yield cells, link[1] if link and after.startswith("Source:") else ""


def figures() -> Iterator[Figure]:
    for cells, file in tables():
        for row in cells[2:]:
            for column, cell in zip(cells[0][1:], row[1:], strict=True):
                for text, percent in numbers(cell):
                    yield Figure(text, percent, file, row[0], column)
    prose = re.sub(r"(?s)```.*?```|(?m:^)\|[^\n]*", "", README)
    for sentence in re.split(r"(?<=[.:])\s+(?=[A-Z*\[!])|\n\n", prose):
        link = _LINK.search(sentence)
        if link and not sentence.startswith("Source:"):
            told = re.sub(r"\([^)]*results/[^)]*\)|`[^`]*`|\[[^\]]*\]", "", sentence)
            for text, percent in numbers(told):
                yield Figure(text, percent, link[1])


def leaves(value: Any, path: tuple[str, ...] = (), named: tuple[str, ...] = ()) -> Iterator[tuple[float, Any, Any]]:
    """Each number of a file with the keys that lead to it and the words that name the entries it is in."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield value, path, named
    elif isinstance(value, dict):
        words = tuple(each for each in value.values() if isinstance(each, str))
        for key, each in value.items():
            if key not in _NOT_SUMS:
                yield from leaves(each, (*path, key), (*named, *words))
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each, path, named)


def load(file: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / file).read_text(encoding="utf-8"))
    return loaded


def is_traced(figure: Figure, value: float) -> bool:
    """Whether `value`, written as the figure is, stands in its file."""
    found = list(leaves(load(figure.file)))
    found = [leaf for leaf in found if figure.row and figure.row in leaf[2]] or found
    found = [leaf for leaf in found if figure.column and figure.column in leaf[1][:-1]] or found
    scales = (100.0,) if figure.percent else (1.0, 1000.0)
    return any(abs(scale * leaf[0] - value) <= figure.slack for leaf in found for scale in scales)


FIGURES = list(figures())
FILES = sorted({figure.file for figure in FIGURES} - {""})


def test_the_readme_has_figures_worth_checking() -> None:
    assert len(FIGURES) >= 50 and len(FILES) >= 3


def test_every_table_with_figures_names_its_source() -> None:
    sourceless = [cells[0] for cells, file in tables() if not file]
    assert not sourceless, "below the table: Source: [results/NAME.json](results/NAME.json)."


@pytest.mark.parametrize(
    "figure", [each for each in FIGURES if each.file], ids=lambda f: f"{f.row}/{f.column}={f.text}"
)
def test_a_figure_is_in_its_file(figure: Figure) -> None:
    assert is_traced(figure, figure.value), f"{figure.text} is not in {figure.file}"


def test_another_figure_would_not_be_found() -> None:
    """What keeps the test above from finding everything everywhere."""
    checked = [each for each in FIGURES if each.file]
    spoiled = [is_traced(each, 1.37 * each.value + 3 * (10 ** -len(each.text.partition(".")[2]))) for each in checked]
    assert sum(spoiled) < 0.25 * len(spoiled)


@pytest.mark.parametrize("file", FILES)
def test_a_file_says_with_what_it_was_measured(file: str) -> None:
    stored = load(file)
    assert str(stored.get("hardware", "")).strip(), f"{file} does not name its hardware"
    for run in stored.get("runs", [stored]):
        for name in ("commit", "command"):
            assert str(run.get(name, "")).strip(), f"{file} does not name its {name}"
    flights = any("success" in path for _, path, _ in leaves(stored))
    seeds = [value for value, path, _ in leaves(stored) if path[-1] in ("seed", "first_seed")]
    assert seeds or not flights, f"{file} does not name its seeds"
