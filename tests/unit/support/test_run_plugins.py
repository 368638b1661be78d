"""python -m pytest tests/unit/support/test_run_plugins.py -v

What decides how the tests run is tested as they are: by a run of pytest in a folder of its own.
"""

from pathlib import Path

import pytest
from allowed_skips import LIST, read_allowances
from worker_order import group_of, in_turn

SKIPS = """
import pytest
{module}

@pytest.mark.skip(reason="needs a card")
def test_marked():
    raise AssertionError

def test_skips_itself():
    pytest.skip("needs a card")

@pytest.mark.xfail(reason="needs a card", strict=True)
def test_expected_to_fail():
    raise AssertionError

@pytest.fixture
def card():
    pytest.skip("needs a card")

def test_skipped_by_a_fixture(card):
    raise AssertionError

def test_runs():
    pass
"""
RANDOM = """
import random
from hypothesis import given, strategies as st

@given(st.integers())
def test_drawn(number):
    print("drew", number)

def test_of_its_own(run_seed):
    print("own", random.Random(run_seed).random())
"""


def allow(pytester: pytest.Pytester, *entries: tuple[str, str], **more: str) -> None:
    """The list of the run in this folder."""
    more_lines = "".join(f'{name} = "{value}"\n' for name, value in more.items())
    listed = "".join(
        f'[[allow]]\ntests = "{tests}"\nreason = "{reason}"\nwhy = "."\n{more_lines}' for tests, reason in entries
    )
    (pytester.path / "list.toml").write_text(listed or "allow = []\n")
    pytester.makeini("[pytest]\nallowed_skips = list.toml\nasyncio_default_fixture_loop_scope = function\n")


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "run_profile", "-p", "run_seed", "-p", "allowed_skips", *arguments)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(LIST.parent / "support"))


def test_a_skip_that_nobody_allowed_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SKIPS.format(module=""))
    allow(pytester, ("test_it.py::*", "needs a cow"), ("test_other.py::*", "*"))
    told = run(pytester)
    assert told.ret == 1
    told.stdout.fnmatch_lines(["*test_it.py::test_marked did not run, and allowed_skips.toml does not*: needs a card*"])
    assert told.parseoutcomes()["passed"] == 1
    assert "skipped" not in told.parseoutcomes() and "xfailed" not in told.parseoutcomes()


def test_what_is_allowed_for_its_reason_skips(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SKIPS.format(module=""))
    allow(pytester, ("test_it.py::*", "needs a c*"))
    told = run(pytester)
    assert told.ret == 0
    told.assert_outcomes(passed=1, skipped=3, xfailed=1)


@pytest.mark.parametrize(("module", "ret"), [("no_such_module", 0), ("json", 1)])
def test_a_skip_for_what_is_missing_is_allowed_while_it_is_missing(
    pytester: pytest.Pytester, module: str, ret: int
) -> None:
    pytester.makepyfile(test_it=SKIPS.format(module=""))
    allow(pytester, ("test_it.py::*", "needs a card"), unless_installed=module)
    assert run(pytester).ret == ret


def test_a_run_for_something_needs_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it="def test_runs(): pass")
    allow(pytester)
    assert run(pytester, "--need", "json").ret == 0
    assert run(pytester, "--need", "no_such_module").ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize(("reason", "ret"), [("no such module", 0), ("another", 2)])
def test_a_module_that_skips_as_a_whole_is_judged_too(pytester: pytest.Pytester, reason: str, ret: int) -> None:
    whole = 'pytest.skip("no such module", allow_module_level=True)'
    pytester.makepyfile(test_it=SKIPS.format(module=whole), test_that="def test_runs(): pass")
    allow(pytester, ("test_it.py", reason))
    assert run(pytester).ret == ret


def test_the_list_says_why(pytester: pytest.Pytester) -> None:
    allowances = read_allowances(LIST)
    assert allowances
    assert all(len(each.why) > 20 for each in allowances)
    assert all(Path(LIST.parents[1], each.tests.split("*")[0].split("::")[0]).exists() for each in allowances)


def test_each_run_draws_anew_and_can_be_repeated(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=RANDOM)
    allow(pytester)
    first, second = run(pytester, "-s"), run(pytester, "-s")
    drawn = [
        [line.lstrip(".") for line in told.outlines if line.lstrip(".").startswith(("drew", "own"))]
        for told in (first, second)
    ]
    assert len(drawn[0]) > 20
    assert drawn[0] != drawn[1]
    (header,) = [line for line in first.outlines if line.startswith("seed: ")]
    again = run(pytester, "-n", "2", "-rP", header.split()[1])
    assert sorted(line for line in again.outlines if line in drawn[0]) == sorted(drawn[0])


def test_a_module_is_one_workers(pytester: pytest.Pytester) -> None:
    for name in ("one", "two", "three"):
        pytester.makepyfile(**{f"test_{name}": "\n".join(f"def test_{n}(): pass" for n in range(12))})
    allow(pytester)
    told = run(pytester, "-p", "worker_order", "-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder", "-v")
    told.assert_outcomes(passed=36)
    pairs = {(line.split()[0], line.split("test_")[1].split(".")[0]) for line in told.outlines if "PASSED" in line}
    assert len(pairs) == 3


def test_groups_are_taken_in_turn() -> None:
    assert in_turn(["a", "b"], ["1", "2", "3", "4"]) == ["a", "1", "2", "b", "3", "4"]
    assert group_of("tests/contract/memory/test_x.py::test_y") == group_of(
        "tests/contract/memory/test_z.py::T::t[a::b]"
    )
    assert group_of("tests/unit/a.py::T::t") == "tests/unit/a.py"
