"""A page of checks: one line for each, with what to do where it failed."""

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from rich.text import Text

from stillwing_cli.terminal import out


class Level(Enum):
    """What came of a check."""

    OK = "ok"
    WARNING = "warning"
    """It works, not well."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Nobody knows: something before it failed."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what was tried, what came of it, what was seen, and what to do about it."""

    what: str
    level: Level
    seen: str
    fix: str = ""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self) | {"level": self.level.value}


_MARKS = {
    Level.OK: ("✓", "green"),
    Level.WARNING: ("!", "yellow"),
    Level.FAILED: ("✗", "red"),
    Level.SKIPPED: ("–", "yellow"),
}


def show(check: Check) -> None:
    """One line of the page."""
    mark, colour = _MARKS[check.level]
    parts: list[Any] = [(f"{mark} ", colour), (f"{check.what:<24} ", "bold"), check.seen]
    if check.fix:
        parts.append((f"   → {check.fix}", "cyan"))
    out.print(Text.assemble(*parts), soft_wrap=True)
