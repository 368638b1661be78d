"""python -m pytest tests/unit/cli/test_start_up.py

What a command imports, which is what it costs before it does anything: a help that imports torch takes seconds.
"""

import inspect
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer

from stillwing_cli.commands import COMMANDS
from stillwing_cli.main import app

_REPORT_IMPORTS = """
import sys
before = {name.partition(".")[0] for name in sys.modules}
from stillwing_cli.main import main
try:
    main()
finally:
    names = {name.partition(".")[0] for name in sys.modules} - before - sys.stdlib_module_names
    print(*sorted(names), file=sys.stderr)
"""


def imported_by(*arguments: str, folder: Path) -> set[str]:
    """The packages outside the standard library that a command has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", _REPORT_IMPORTS, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_the_help_imports_typer_and_nothing_else(argument: str, tmp_path: Path) -> None:
    of_typer = {"typer", "click", "annotated_doc", "shellingham", "typing_extensions"}
    assert imported_by(argument, folder=tmp_path) <= {"stillwing_cli", *of_typer}


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        app(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"stillwing {version('stillwing')}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_of_a_command_what_the_command_says_of_itself(name: str) -> None:
    group: Any = typer.main.get_command(app)
    command = group.get_command(None, name)
    assert inspect.cleandoc(command.help).split("\n\n")[0] == COMMANDS[name]


def test_a_command_that_is_misspelt_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        app(["fli"])
    assert end.value.code == 2
    assert "Did you mean 'fly'?" in capsys.readouterr().err


def test_an_emergency_stop_imports_grpc_and_nothing_else_that_takes_time(tmp_path: Path) -> None:
    imported = imported_by("stop", "--bridge", "127.0.0.1:1", folder=tmp_path)
    assert {"grpc", "stillwing_bridge"} <= imported
    heavy = {"numpy", "PIL", "structlog", "pydantic", "rich", "typer", "cryptography", "torch", "stillwing_agent"}
    assert not imported & heavy
