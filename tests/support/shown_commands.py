"""The commands that README and docs show in their code blocks, as a reader would type them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = re.compile(r"(?:[A-Z_]+=\S+ )*(stillwing(?:-\w+)?|airfield|make|python|grpcurl|buf) ")
_COMMENT = re.compile(r"\s+# .*")


@dataclass(frozen=True)
class ShownCommand:
    """One line of a page; `words` are those after settings of the environment."""

    page: str
    line: str

    @property
    def words(self) -> list[str]:
        words = shlex.split(self.line)
        while "=" in words[0]:
            words.pop(0)
        return words

    def __str__(self) -> str:
        return f"{self.page}: {self.line}"


def shown_commands(*pages: str) -> list[ShownCommand]:
    """Every line of these pages' code blocks that begins with a program of this project or one it names."""
    return [
        ShownCommand(page, _COMMENT.sub("", line).strip())
        for page in pages
        for language, block in re.findall(r"```(\w*)\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
        if language in ("", "bash")
        for line in block.splitlines()
        if _PROGRAM.match(f"{line} ")
    ]


def readme_command(beginning: str) -> list[str]:
    """The words of the README's one command that begins so."""
    (command,) = (each for each in shown_commands("README.md") if each.line.startswith(beginning))
    return command.words
