"""A page on a run of all tests: what ran on what, how it ended, what took longest."""

import platform
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from stillwing_common.conditions import commit, hardware

PACKAGES = ("torch", "transformers", "numpy", "grpcio", "protobuf", "mujoco-core", "hypothesis", "pytest", "triton")
SLOWEST = 20


class Outcome(Protocol):
    """How a job ended; see tests/support/run_tests.py."""

    @property
    def name(self) -> str: ...
    @property
    def code(self) -> int: ...
    @property
    def elapsed_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Case:
    """One test of one job: `result` is passed, failed or skipped, and `reason` why it skipped."""

    job: str
    name: str
    elapsed_s: float
    result: str
    reason: str = ""


def write_summary(path: Path, profile: str, seed: int, outcomes: Sequence[Outcome], folder: Path) -> None:
    """The page, from the JUnit files of the jobs in `folder`."""
    cases = [case for outcome in outcomes for case in read_cases(folder / f"{outcome.name}.xml", outcome.name)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(_page(profile, seed, outcomes, cases)) + "\n", encoding="utf-8")


def read_cases(path: Path, job: str) -> Iterator[Case]:
    """The tests of a job of pytest; none of another job."""
    if not path.exists():
        return
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name')}"
        skipped = case.find("skipped")
        reason = "" if skipped is None else str(skipped.get("message"))
        broken = any(case.find(kind) is not None for kind in ("failure", "error"))
        result = "failed" if broken else "skipped" if skipped is not None else "passed"
        yield Case(job, name, float(case.get("time", 0)), result, reason)


def _page(profile: str, seed: int, outcomes: Sequence[Outcome], cases: Sequence[Case]) -> Iterator[str]:
    yield f"# A run of all tests, profile {profile}"
    yield ""
    yield f"`python tests/support/run_tests.py {profile}`, commit {commit()}, {datetime.now(UTC):%Y-%m-%d}."
    yield f"{hardware()}."
    yield f"Python {platform.python_version()}, {', '.join(_versions())}. `--seed {seed}` repeats its random choices."
    yield ""
    yield "| job | seconds | result | passed | failed | skipped |"
    yield "|---|---:|---|---:|---:|---:|"
    for outcome in outcomes:
        count = Counter(case.result for case in cases if case.job == outcome.name)
        numbers = " | ".join(str(count[kind]) if count else "" for kind in ("passed", "failed", "skipped"))
        yield f"| {outcome.name} | {outcome.elapsed_s:.0f} | {'FAILED' if outcome.code else 'passed'} | {numbers} |"
    yield from _table("Failed", [case for case in cases if case.result == "failed"])
    yield from _table("Slowest", sorted(cases, key=lambda case: -case.elapsed_s)[:SLOWEST])
    skipped = Counter(case.reason for case in cases if case.result == "skipped")
    if skipped:
        yield from ("", "## Skipped", "", "| reason | tests |", "|---|---:|")
        yield from (f"| {reason} | {count} |" for reason, count in skipped.most_common())


def _table(title: str, cases: Sequence[Case]) -> Iterator[str]:
    if cases:
        yield from ("", f"## {title}", "", "| seconds | test | job |", "|---:|---|---|")
        yield from (f"| {case.elapsed_s:.1f} | `{case.name}` | {case.job} |" for case in cases)


def _versions() -> Iterator[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except ModuleNotFoundError:
            continue
