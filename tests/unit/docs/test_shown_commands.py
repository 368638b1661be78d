"""python -m pytest tests/unit/docs/test_shown_commands.py

Every command that README and docs show exists and takes what is shown; each of the README's is run by a test, or cannot
be run by one for a reason that stands here.
"""

import importlib.util
import re
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest
import typer
from shown_commands import ROOT, ShownCommand, shown_commands

from stillwing_cli.main import app

PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]
SHOWN = shown_commands(*PAGES)

PROGRAMS = {
    "stillwing-bridge": "stillwing_bridge",
    "stillwing-memory": "stillwing_memory",
    "airfield": "stillwing_airfield",
}

RUN_BY = {
    "make fly": "tests/e2e/test_first_flight.py",
    "make test": "is what runs this",
    "make up": "tests/e2e/test_up_and_down.py",
    "stillwing status": "tests/e2e/test_readme.py",
    "stillwing fly": "tests/e2e/test_readme.py",
    "stillwing instruct": "tests/e2e/test_readme.py",
    "stillwing watch": "tests/e2e/test_readme.py",
    "stillwing stop": "tests/e2e/test_readme.py",
    "stillwing record": "tests/e2e/recording/test_record_replay.py",
    "stillwing replay": "tests/e2e/recording/test_record_replay.py",
    "stillwing memory show": "tests/e2e/test_readme.py",
    "stillwing certs": "tests/e2e/security/test_secure_stack.py",
    "stillwing eval all": "tests/unit/lab/test_evaluate.py",
    "stillwing eval-recording": "tests/e2e/test_readme.py",
    "stillwing lab --help": "tests/unit/cli/test_commands.py",
    "stillwing check-model": "tests/unit/lab/test_check_model.py",
    "stillwing check-simulator": "tests/rpc/airfield/test_check_simulator.py",
    "stillwing doctor": "tests/e2e/test_readme.py",
    "grpcurl": "tests/e2e/test_reflection.py",
    "stillwing up --model": "needs published weights; tests/contract/vlm runs each family with random ones",
    "stillwing check-agent": "tests/e2e/agent/test_check_agent_command.py",
    "stillwing up --endpoint": "tests/e2e/agent/test_endpoint_stack.py",
    "stillwing up --agent choice": "tests/unit/lab/test_evaluate.py",
    "stillwing up --simulator": "needs AirSim; tests/e2e/test_airsim_compat.py flies what answers like one",
    "stillwing train-pilot": "tests/unit/training/test_pilot_training.py",
}
"""By how a command of the README begins: the test that runs it, or why none does."""


def parse(words: list[str]) -> None:
    """Have the real parser take the words of a `stillwing` command, and run nothing."""
    command: Any = typer.main.get_command(app)
    context = None
    with suppress(typer.Exit):  # after --help
        while True:
            context = command.make_context(words[0], words[1:], parent=context)
            rest = [*getattr(context, "_protected_args", []), *context.args]
            if not hasattr(command, "resolve_command"):
                return
            name, command, rest = command.resolve_command(context, rest)
            words = [name, *rest]


@pytest.mark.parametrize("shown", [each for each in SHOWN if each.words[0] == "stillwing"], ids=str)
def test_a_command_takes_what_is_shown(shown: ShownCommand, capsys: pytest.CaptureFixture[str]) -> None:
    parse(shown.words)


def test_a_command_does_not_take_what_nobody_has_heard_of() -> None:
    for words in (["stillwing", "fly", "--sideways"], ["stillwing", "flee"], ["stillwing", "eval", "a", "b"]):
        with pytest.raises(Exception, match=r"[Nn]o such (command|option)|unexpected extra argument"):
            parse(words)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_takes_what_is_shown(program: str) -> None:
    shown: dict[str, set[str]] = {}
    for words in (each.words[1:] for each in SHOWN if each.words[0] == program):
        first = words[0] if words and words[0].isalpha() else ""
        shown.setdefault(first, set()).update(word for word in words if word.startswith("--"))
    for first, options in shown.items():
        asked = [sys.executable, "-m", PROGRAMS[program], *filter(None, [first]), "--help"]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True).stdout
        assert options <= {*re.findall(r"--[\w-]+", told)}


def test_the_rest_that_is_shown_is_there() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for shown in SHOWN:
        program, *words = shown.words
        if program == "make":
            assert words[0] in targets, shown
        elif program == "python" and words[0] == "-m":
            assert importlib.util.find_spec(words[1]) is not None, shown
            assert all((ROOT / word).exists() for word in words[2:] if word.startswith("tests")), shown
        elif program == "python":
            source = (ROOT / words[0]).read_text()
            assert all(word in source for word in words if word.startswith("--")), shown


def test_each_command_of_the_readme_is_run_by_a_test() -> None:
    for shown in shown_commands("README.md"):
        by = [where for beginning, where in RUN_BY.items() if shown.line.startswith(beginning)]
        assert by, f"{shown} is run by no test"
        for path in re.findall(r"tests/[\w/.]+", " ".join(by)):
            assert (ROOT / path).exists(), path


def test_the_readme_has_each_command_that_is_run_for_it() -> None:
    lines = [each.line for each in shown_commands("README.md")]
    assert [beginning for beginning in RUN_BY if not any(line.startswith(beginning) for line in lines)] == []
