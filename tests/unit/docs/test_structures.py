"""python -m pytest tests/unit/docs/test_structures.py

The pages name files that are there, so that whoever follows a walk through the code arrives.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = ["README.md", "CONTEXT.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md"))]
MODULES = {
    str(module.relative_to(ROOT))
    for folder in ROOT.iterdir()
    if folder.is_dir() and not folder.name.startswith(".")
    for module in folder.rglob("*.py")
}
ELSEWHERE = {"constant.py"}
"""OVO-Bench's own."""
WALKS = ("a frame decoded", "a command judged", "a question worded", "a keyframe scored", "a flight recorded")


def walk(question: str) -> list[str]:
    """The files of the table below a question of docs/structures.md."""
    _, _, after = (ROOT / "docs/structures.md").read_text(encoding="utf-8").partition(f"**Where is {question}?**")
    table = re.search(r"(?m)^\|.*(?:\n\|.*)*", after)
    assert table, question
    return [path for row in table[0].splitlines()[2:] for path in re.findall(r"`([\w/.]+\.py)`", row.split("|")[1])]


@pytest.mark.parametrize("question", WALKS)
def test_a_walk_leads_from_file_to_file(question: str) -> None:
    files = walk(question)
    assert len(files) >= 6
    assert [path for path in files if path not in MODULES] == []


@pytest.mark.parametrize("page", PAGES)
def test_each_module_that_a_page_names_is_there(page: str) -> None:
    named = set(re.findall(r"`([\w/.-]+\.py)`", (ROOT / page).read_text(encoding="utf-8")))
    assert {name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in MODULES)} <= ELSEWHERE
