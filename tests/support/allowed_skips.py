"""A test that was expected to run and does not is a failure: only what `tests/allowed_skips.toml` names may skip.

An entry names tests (a pattern of node ids) and the reason they give (a pattern too), and says why that is no loss; it
may hold only as long as a module is not installed. The same list is for expected failures.
"""

import tomllib
from collections.abc import Generator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import pytest

LIST = Path(__file__).resolve().parents[1] / "allowed_skips.toml"

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@dataclass(frozen=True)
class Allowance:
    """Tests that may skip, or fail as expected, for a reason of theirs."""

    tests: str
    reason: str
    why: str
    unless_installed: str = ""

    def covers(self, node_id: str, reason: str) -> bool:
        """Both are patterns as of file names."""
        if self.unless_installed and find_spec(self.unless_installed):
            return False
        return fnmatchcase(node_id, self.tests) and fnmatchcase(reason, self.reason)


def read_allowances(path: Path) -> tuple[Allowance, ...]:
    """The entries of the list."""
    return tuple(Allowance(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["allow"])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the list is, and what a run is for."""
    group = parser.getgroup("allowed skips")
    group.addoption("--need", metavar="MODULE", help="Run nothing unless this module is installed.")
    parser.addini("allowed_skips", "The list of tests that may skip.", default=str(LIST))


def pytest_configure(config: pytest.Config) -> None:
    """Read the list once."""
    if (needed := config.getoption("--need")) and not find_spec(needed):
        raise pytest.UsageError(f"--need: {needed} is not installed")
    config.pluginmanager.register(Gatekeeper(config), "gatekeeper of skips")


class Gatekeeper:
    """Turns skips that nobody allowed into failures."""

    def __init__(self, config: pytest.Config) -> None:
        self._allowances = read_allowances(Path(config.getini("allowed_skips")))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A test that skipped or failed as expected."""
        return self._judged((yield))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """A module that skipped as a whole."""
        return self._judged((yield))

    def _judged(self, report: Report) -> Report:
        reason = _reason(report)
        if reason is not None and not any(each.covers(report.nodeid, reason) for each in self._allowances):
            report.outcome = "failed"
            report.longrepr = f"{report.nodeid} did not run, and {LIST.name} does not allow it: {reason}"
            vars(report).pop("wasxfail", None)
        return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    """Why a test did not run to its end, or None if it did."""
    if (expected := getattr(report, "wasxfail", None)) is not None:
        return str(expected).removeprefix("reason: ")
    if not report.skipped:
        return None
    assert isinstance(report.longrepr, tuple)
    return report.longrepr[2].removeprefix("Skipped: ")
